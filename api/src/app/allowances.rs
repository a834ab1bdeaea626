//! Allowances: what a level may have at most. Counters are changed in the transaction of what
//! they count, and locked last, from the system down: nobody who holds one waits for anything
//! else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use umail_api_types::{
    allowances::{AllowancePatch, LevelKind},
    limit::{Limit, Quota},
};
use umail_proto::ids::{DepartmentId, DomainId, PlanId};
use uuid::Uuid;

use crate::{
    app::{
        audit::{self, Subject, shown},
        departments, domains,
        fields::one,
    },
    authz::{Action, Level, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        allowance::{Allowance, Amounts, Exceeded, Limits},
        department::Department,
        domain::{Domain, DomainRef},
        plan::{Plan, PlanRef, Seats},
        revision::Precondition,
        user::User,
    },
    store::{self, allowances::SYSTEM, seats},
    transaction::Transaction,
};

/// What is given away to a department, or taken back from it.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    /// The department; nothing: the domain itself.
    pub(super) department: Option<DepartmentId>,
    /// How much.
    pub(super) amounts: Amounts,
    /// Users of plans; the level is filled in here.
    pub(super) seats: Vec<Seat>,
}

/// Users of a plan, and how many of them have no quota of their own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    plan: PlanId,
    users: i64,
    inheriting: i64,
}

impl Given {
    /// What a user takes who has this plan.
    pub(super) fn user(user: &User, plan: &Plan) -> Self {
        let quota = user.quota.or_else(|| plan.quota.number());
        let amounts = Amounts {
            users: 1,
            storage_bytes: quota.unwrap_or_default(),
            unlimited_users: i64::from(quota.is_none()),
            ..Amounts::default()
        };
        let inheriting = i64::from(user.quota.is_none());
        let seats = vec![Seat { plan: plan.id, users: 1, inheriting }];
        Self { department: user.department_id, amounts, seats }
    }

    /// As much and as much again, in the same place.
    pub(super) fn add(&mut self, other: Self) {
        self.amounts = self.amounts + other.amounts;
        for seat in other.seats {
            match self.seats.iter_mut().find(|one| one.plan == seat.plan) {
                Some(same) => {
                    same.users += seat.users;
                    same.inheriting += seat.inheriting;
                }
                None => self.seats.push(seat),
            }
        }
    }

    /// What a user takes after a change, and gives back from before it; nothing if nothing counts.
    pub(super) fn change((before, from): (&User, &Plan), (after, to): (&User, &Plan)) -> Vec<Self> {
        let counts = |user: &User| (user.department_id, user.plan_id, user.quota);
        if counts(before) == counts(after) {
            return Vec::new();
        }
        vec![Self::user(before, from).back(), Self::user(after, to)]
    }

    /// The same, taken back.
    pub(super) fn back(mut self) -> Self {
        self.amounts = Amounts::default() - self.amounts;
        for seat in &mut self.seats {
            (seat.users, seat.inheriting) = (-seat.users, -seat.inheriting);
        }
        self
    }
}

/// Gives amounts away in a domain and takes them back, on every level that is concerned; refuses
/// what a limit does not allow. The last thing before the commit, where there are many at once:
/// until then nobody else in the domain can.
pub(super) async fn give(tx: &mut Transaction, domain: DomainId, given: &[Given]) -> Result<()> {
    let whole = given.iter().fold(Amounts::default(), |sum, one| sum + one.amounts);
    if whole != Amounts::default() {
        add(tx, SYSTEM, &whole).await?;
    }
    // From here on the tree of departments stands still, so the domain is held in any case.
    if !add(tx, domain.uuid(), &whole).await? {
        return Err(Error::corrupt("allowance", domain, "is missing"));
    }
    let places = given.iter().filter_map(|one| Some((domain, one.department?))).collect();
    let (asked, seats) = per_level(domain, given, &above(tx, &places).await?);
    for (level, amounts) in asked {
        if level != SYSTEM && level != domain.uuid() {
            add(tx, level, &amounts).await?;
        }
    }
    give_seats(tx, &as_given(seats)).await
}

/// Adds to the counters of a level; says whether it is counted.
async fn add(tx: &mut Transaction, id: Uuid, asked: &Amounts) -> Result<bool> {
    let Some(level) = store::allowances::add(&mut **tx, id, asked).await? else {
        return Ok(false);
    };
    if let Err(refusal) = level.check_given(*asked) {
        let name = store::allowances::find(&mut **tx, id).await?.name;
        return Err(Exceeded { name, ..refusal }.into());
    }
    Ok(true)
}

/// What one of many asks for in a domain, and gives back.
#[derive(Clone, Debug)]
pub(super) struct Share {
    /// The domain.
    pub(super) domain: DomainId,
    /// How much.
    pub(super) given: Vec<Given>,
}

/// Gives away what many ask for, to each as far as the limits leave room then, in their order;
/// says to whom they do not. All else that anybody could wait for is locked already.
pub(super) async fn give_each(
    tx: &mut Transaction,
    shares: &[Share],
) -> Result<Vec<Option<Exceeded>>> {
    let mut levels = Levels::hold(tx, shares).await?;
    let refusals: Vec<_> = shares.iter().map(|share| levels.give(share).err()).collect();
    let after = levels.changed.iter().filter_map(|id| levels.held.get(id)).cloned();
    store::allowances::update_allocated(&mut **tx, &after.collect::<Vec<_>>()).await?;
    seats::give(tx, &as_given(levels.given)).await?;
    Ok(refusals)
}

/// Levels that are locked, with what has been given away of them.
#[derive(Debug, Default)]
struct Levels {
    held: HashMap<Uuid, Allowance>,
    seats: HashMap<(Uuid, PlanId), Seats>,
    above: Above,
    changed: BTreeSet<Uuid>,
    given: SeatSums,
}

impl Levels {
    async fn hold(tx: &mut Transaction, shares: &[Share]) -> Result<Self> {
        let mut levels = Self::default();
        let domains: BTreeSet<_> = shares.iter().map(|one| one.domain).collect();
        let ids: Vec<_> = [SYSTEM].into_iter().chain(domains.iter().map(|id| id.uuid())).collect();
        let mut held = store::allowances::lock(&mut **tx, &ids).await?;
        let places: BTreeSet<_> = shares
            .iter()
            .flat_map(|one| {
                one.given.iter().filter_map(|given| Some((one.domain, given.department?)))
            })
            .collect();
        levels.above = above(tx, &places).await?;
        let rest: BTreeSet<_> = places
            .iter()
            .flat_map(|(domain, id)| {
                levels.above.get(id).into_iter().flatten().map(move |above| (domain, *above))
            })
            .collect();
        let rest: Vec<_> = rest.into_iter().map(|(_, id)| id).collect();
        if !rest.is_empty() {
            held.extend(store::allowances::lock(&mut **tx, &rest).await?);
        }
        let ids: Vec<_> = held.iter().map(|one| one.id).chain([SYSTEM]).collect();
        for seats in seats::list_of_levels(&mut **tx, &ids).await? {
            levels.seats.insert((seats.level, seats.plan), seats);
        }
        levels.held = held.into_iter().map(|one| (one.id, one)).collect();
        Ok(levels)
    }

    /// Gives all that is asked for, or nothing.
    fn give(&mut self, share: &Share) -> Result<(), Exceeded> {
        let (asked, seats) = per_level(share.domain, &share.given, &self.above);
        let mut after = Vec::with_capacity(asked.len());
        for (level, amounts) in asked {
            if let Some(allowance) = self.held.get(&level) {
                after.push(allowance.give(amounts)?);
            }
        }
        for (place, (users, _)) in &seats {
            self.check_seats(*place, *users)?;
        }
        for allowance in after {
            self.changed.insert(allowance.id);
            self.held.insert(allowance.id, allowance);
        }
        for (place, (users, inheriting)) in seats {
            if let Some(seats) = self.seats.get_mut(&place) {
                seats.users += users;
            }
            let sum = self.given.entry(place).or_default();
            *sum = (sum.0 + users, sum.1 + inheriting);
        }
        Ok(())
    }

    /// Whether so many more users of a level may have a plan.
    fn check_seats(&self, place: (Uuid, PlanId), users: i64) -> Result<(), Exceeded> {
        let Some(seats) = self.seats.get(&place) else { return Ok(()) };
        let Some(limit) = seats.limit.number() else { return Ok(()) };
        if users <= 0 || seats.users + users <= limit {
            return Ok(());
        }
        let level = self.held.get(&place.0);
        let (kind, name) = level.map_or((LevelKind::System, ""), |one| (one.level, &one.name));
        Err(Exceeded {
            level: kind,
            name: name.to_owned(),
            kind: seats_of(&seats.plan_name).into(),
            limit,
            allocated: seats.users,
            asked: users,
        })
    }
}

/// Of each department: itself and all above it.
type Above = HashMap<DepartmentId, Vec<Uuid>>;

async fn above(tx: &mut Transaction, places: &BTreeSet<(DomainId, DepartmentId)>) -> Result<Above> {
    let mut all = Above::new();
    for (domain, department) in places {
        let above = store::departments::ancestors(&mut **tx, *domain, *department).await?;
        all.insert(*department, above.into_iter().map(DepartmentId::uuid).collect());
    }
    Ok(all)
}

/// Users of a plan on a level, and how many of them have no quota of their own.
type SeatSums = BTreeMap<(Uuid, PlanId), (i64, i64)>;

/// Sums up what is asked of each level and of its seats, in a fixed order.
fn per_level(
    domain: DomainId,
    given: &[Given],
    above: &Above,
) -> (BTreeMap<Uuid, Amounts>, SeatSums) {
    let (mut asked, mut seats) = (BTreeMap::<_, Amounts>::new(), SeatSums::new());
    for one in given {
        let above = one.department.and_then(|id| above.get(&id)).into_iter().flatten();
        for level in [SYSTEM, domain.uuid()].iter().chain(above) {
            let sum = asked.entry(*level).or_default();
            *sum = *sum + one.amounts;
            for seat in &one.seats {
                let sum = seats.entry((*level, seat.plan)).or_default();
                // What they inherit counts for storage, and that of the system is summed up.
                let inheriting = if *level == SYSTEM { 0 } else { seat.inheriting };
                *sum = (sum.0 + seat.users, sum.1 + inheriting);
            }
        }
    }
    asked.retain(|_, amounts| *amounts != Amounts::default());
    seats.retain(|_, sum| *sum != (0, 0));
    (asked, seats)
}

fn as_given(seats: SeatSums) -> Vec<seats::Given> {
    let given = seats.into_iter().filter(|(_, sum)| *sum != (0, 0));
    let given = given.map(|((level, plan), (users, inheriting))| seats::Given {
        level,
        plan,
        users,
        inheriting,
    });
    given.collect()
}

/// Gives seats of plans away, on levels that are locked; those of the system first.
async fn give_seats(tx: &mut Transaction, given: &[seats::Given]) -> Result<()> {
    let after = seats::give(tx, given).await?;
    for (given, seats) in &after {
        if let Some(limit) = seats.limit.number()
            && given.users > 0
            && seats.users > limit
        {
            let level = store::allowances::find(&mut **tx, seats.level).await?;
            let (kind, before) = (seats_of(&seats.plan_name), seats.users - given.users);
            return Err(level.exceeded(kind, limit, before, given.users).into());
        }
    }
    Ok(())
}

/// Counts the users of a plan with another quota, and returns the levels that then have given
/// away more storage than they may. Whoever calls has locked the plan.
pub(super) async fn change_quota(
    tx: &mut Transaction,
    plan: &Plan,
    quota: Quota,
) -> Result<Vec<Exceeded>> {
    if plan.quota == quota {
        return Ok(Vec::new());
    }
    store::allowances::lock(&mut **tx, &[SYSTEM]).await?;
    store::allowances::lock_of_plan(&mut **tx, plan.id).await?;
    store::allowances::change_quota(&mut **tx, plan.id, (plan.quota, quota)).await?;
    let grows = match (plan.quota, quota) {
        (Quota::AtMost(before), Quota::AtMost(after)) => after > before,
        (_, after) => after == Quota::Unlimited,
    };
    if !grows {
        return Ok(Vec::new());
    }
    let overdrawn = store::allowances::list_overdrawn(&mut **tx, plan.id).await?;
    Ok(overdrawn.iter().filter_map(Allowance::storage_exceeded).collect())
}

/// Locks the allowances of the system, if it has limits, and of a domain. From here on the tree
/// of its departments and their counters stand still: who changes them holds these.
async fn hold(tx: &mut Transaction, domain: DomainId) -> Result<Vec<Allowance>> {
    let held = store::allowances::lock(&mut **tx, &[SYSTEM, domain.uuid()]).await?;
    if held.last().is_none_or(|one| one.id != domain.uuid()) {
        return Err(Error::corrupt("allowance", domain, "is missing"));
    }
    Ok(held)
}

/// Takes a department with all in it from under one department and gives it to another; nothing:
/// the top.
pub(super) async fn move_department(
    tx: &mut Transaction,
    before: &Department,
    to: Option<DepartmentId>,
) -> Result<()> {
    hold(tx, before.domain_id).await?;
    let inside = inside(tx, before).await?;
    let mut whole = inside.clone();
    whole.amounts.departments += 1;
    let from = Given { department: before.parent_id, ..whole.clone().back() };
    give(tx, before.domain_id, &[from, Given { department: to, ..whole }]).await
}

/// All that has been given away in a department, its allowance being held.
async fn inside(tx: &mut Transaction, department: &Department) -> Result<Given> {
    let id = department.id.uuid();
    let amounts = store::allowances::find(&mut **tx, id).await?.allocated;
    let seats = seats::inside(&mut **tx, id).await?.into_iter();
    let seats =
        seats.map(|one| Seat { plan: one.plan, users: one.users, inheriting: one.inheriting });
    Ok(Given { department: None, amounts, seats: seats.collect() })
}

/// Takes back a department. What is in it still, users that were deleted, falls to the domain.
pub(super) async fn remove_department(tx: &mut Transaction, gone: &Department) -> Result<()> {
    hold(tx, gone.domain_id).await?;
    let inside = inside(tx, gone).await?;
    let mut whole = inside.clone();
    whole.amounts.departments += 1;
    let from = Given { department: gone.parent_id, ..whole.back() };
    give(tx, gone.domain_id, &[from, inside]).await?;
    store::allowances::delete(&mut **tx, gone.id.uuid()).await
}

/// An allowance and the seats of its level.
pub type Whole = (Allowance, Vec<Seats>);

async fn whole(cx: &Context, id: Uuid) -> Result<Whole> {
    let allowance = store::allowances::find(cx.pool(), id).await?;
    Ok((allowance, seats::list(cx.pool(), id).await?))
}

/// The allowance of the system.
pub async fn read_system(cx: &Context) -> Result<Whole> {
    cx.authorize(Action::Read, Resource::Allowance(Level::System))?;
    whole(cx, SYSTEM).await
}

/// The allowance of a domain.
pub async fn read_domain(cx: &Context, domain: &DomainRef) -> Result<Whole> {
    let domain = find_domain(cx, domain, Action::Read).await?;
    whole(cx, domain.id.uuid()).await
}

/// The allowance of a department.
pub async fn read_department(cx: &Context, id: DepartmentId) -> Result<Whole> {
    find_department(cx, id, Action::Read).await?;
    whole(cx, id.uuid()).await
}

/// The domain, if the caller may do this to its allowance.
async fn find_domain(cx: &Context, domain: &DomainRef, action: Action) -> Result<Domain> {
    domains::find(cx, domain, |id| (action, Resource::Allowance(Level::Domain(id)))).await
}

/// The department, if the caller may do this to its allowance.
async fn find_department(cx: &Context, id: DepartmentId, action: Action) -> Result<Department> {
    let found = departments::read(cx, id).await?;
    cx.authorize(action, Resource::Allowance(Level::Department(found.domain_id, id)))?;
    Ok(found)
}

/// How a change of limits is meant.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision that it is made to.
    pub precondition: Precondition,
    /// What changes.
    pub patch: AllowancePatch,
    /// Whether a limit may be lower than what has been given away.
    pub below_allocated: bool,
}

/// Limits the system as a whole. Counting begins with the first limit.
pub async fn update_system(cx: &Context, change: Change) -> Result<Whole> {
    cx.authorize(Action::Update, Resource::Allowance(Level::System))?;
    let mut tx = cx.begin().await?;
    // Nobody else gives anything away, or limits the system, until this has ended.
    store::allowances::lock_all(&mut *tx).await?;
    let mut before = store::allowances::find(&mut *tx, SYSTEM).await?;
    before.allocated = store::allowances::sum(&mut *tx).await?;
    store::allowances::update_allocated(&mut *tx, std::slice::from_ref(&before)).await?;
    finish(tx, cx, Subject::system("allowance", SYSTEM), before, change).await
}

/// Limits a domain, from above.
pub async fn update_domain(cx: &Context, domain: &DomainRef, change: Change) -> Result<Whole> {
    let domain = find_domain(cx, domain, Action::Update).await?;
    let subject = Subject::of(domain.id, "allowance", domain.id);
    update(cx, domain.id, subject, change).await
}

/// Limits a department.
pub async fn update_department(cx: &Context, id: DepartmentId, change: Change) -> Result<Whole> {
    let department = find_department(cx, id, Action::Update).await?;
    let subject = Subject::of(department.domain_id, "allowance", id).within(Some(id));
    update(cx, department.domain_id, subject, change).await
}

async fn update(cx: &Context, domain: DomainId, subject: Subject, change: Change) -> Result<Whole> {
    let mut tx = cx.begin().await?;
    store::domains::hold(&mut *tx, domain).await?;
    let before = store::allowances::lock(&mut *tx, &[subject.id]).await?.pop();
    let before = before.ok_or_else(|| Error::corrupt("allowance", subject.id, "is missing"))?;
    finish(tx, cx, subject, before, change).await
}

async fn finish(
    mut tx: Transaction,
    cx: &Context,
    subject: Subject,
    before: Allowance,
    change: Change,
) -> Result<Whole> {
    change.precondition.check(before.revision)?;
    let limits = apply(&before.limits, &change.patch)?;
    let before = (before.clone(), seats::list(&mut *tx, before.id).await?);
    limit_seats(&mut tx, &before.0, &change).await?;
    let mut after =
        (Allowance { limits, ..before.0.clone() }, seats::list(&mut *tx, before.0.id).await?);
    if after == before {
        tx.commit().await?;
        return Ok(before);
    }
    after.0.revision += 1;
    if !change.below_allocated {
        after.0.check()?;
    }
    store::allowances::update_limits(&mut *tx, &after.0).await?;
    audit::record(&mut tx, cx, Action::Update, subject, shown(&before)?, shown(&after)?).await?;
    tx.commit().await?;
    Ok(after)
}

/// Limits seats of plans as the change says.
async fn limit_seats(tx: &mut Transaction, level: &Allowance, change: &Change) -> Result<()> {
    for (name, limit) in change.patch.seats.iter().flatten() {
        let field = format!("/seats/{}", name.replace('~', "~0").replace('/', "~1"));
        let plan: PlanRef = one(&field, name.parse())?;
        let plan = store::plans::find(&mut **tx, &plan).await?;
        let plan = plan.ok_or_else(|| Error::invalid(&field, "must be a plan that there is"))?;
        let users = if level.id == SYSTEM {
            seats::limit_system(tx, plan.id, *limit).await?
        } else {
            seats::limit(&mut **tx, level.id, plan.id, *limit).await?
        };
        if let Limit::AtMost(limit) = *limit
            && users > limit
            && !change.below_allocated
        {
            return Err(level.exceeded(seats_of(&plan.name), limit, users, 0).into());
        }
    }
    Ok(())
}

/// How a refusal names the seats of a plan.
fn seats_of(plan: &str) -> String {
    format!("seats of plan {plan}")
}

fn apply(limits: &Limits, patch: &AllowancePatch) -> Result<Limits> {
    let percent = patch.overselling_percent.map(|percent| {
        let allowed = i32::try_from(percent).ok().filter(|one| (100..=10_000).contains(one));
        one("/overselling_percent", allowed.ok_or_else(|| "must be 100 to 10000".to_owned()))
    });
    Ok(Limits {
        users: patch.users.unwrap_or(limits.users),
        aliases: patch.aliases.unwrap_or(limits.aliases),
        groups: patch.groups.unwrap_or(limits.groups),
        departments: patch.departments.unwrap_or(limits.departments),
        storage_bytes: patch.storage_bytes.unwrap_or(limits.storage_bytes),
        overselling_percent: percent.transpose()?.unwrap_or(limits.overselling_percent),
    })
}
