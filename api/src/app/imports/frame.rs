//! What lines of an import refer to: domains, departments, plans, and users that there are
//! already, read together and held until the end of the transaction.

use std::collections::{BTreeSet, HashMap};

use umail_proto::ids::{DepartmentId, DomainId, PlanId, UserId};
use uuid::Uuid;

use crate::{
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        address::EmailAddress,
        department::{Department, path},
        domain::Domain,
        import::{Column, DepartmentRef, Fault, Import, Line, Whom},
        page::Page,
        plan::{self, Plan, PlanRef},
        user::User,
    },
    store::{self, nodes::Place},
    transaction::Transaction,
};

/// More plans than anybody has.
const PLANS: i64 = 10_000;

/// What lines refer to.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// The domain that the import is confined to.
    only: Option<DomainId>,
    domains: HashMap<String, Domain>,
    departments: HashMap<DepartmentId, Department>,
    paths: HashMap<(DomainId, String), DepartmentId>,
    plans: HashMap<PlanId, Plan>,
    plan_names: HashMap<String, PlanId>,
    taken: HashMap<(DomainId, String), Uuid>,
    external_ids: HashMap<(DomainId, String), UserId>,
    users: HashMap<UserId, User>,
    /// Hashes, and whether they must be changed, of the users that get a password.
    pub(super) passwords: HashMap<UserId, (String, bool)>,
    /// Where new mailboxes go, the emptiest first.
    places: Vec<Place>,
}

impl Frame {
    /// Reads and holds what these lines refer to.
    pub(super) async fn load(
        cx: &Context,
        tx: &mut Transaction,
        import: &Import,
        lines: &[Line],
    ) -> Result<Self> {
        let mut frame = Self { only: import.domain_id, ..Self::default() };
        // All users count, in reach or not.
        frame.places = store::nodes::list_places(cx.state().pool()).await?;
        frame.load_domains(cx, tx, lines).await?;
        frame.load_users(cx, tx, lines).await?;
        frame.load_plans(tx, lines).await?;
        frame.load_departments(tx, lines).await?;
        Ok(frame)
    }

    async fn load_domains(
        &mut self,
        cx: &Context,
        tx: &mut Transaction,
        lines: &[Line],
    ) -> Result<()> {
        let names: BTreeSet<_> = match self.only {
            Some(_) => BTreeSet::new(),
            None => lines.iter().filter_map(|line| line.domain.as_ref()).collect(),
        };
        let names: Vec<_> = names.into_iter().map(|name| name.as_str().to_owned()).collect();
        for domain in store::domains::hold_all(&mut **tx, &names, self.only).await? {
            // What is out of scope looks like what is not there.
            let asked = cx.authorize(Action::List, Resource::Users(domain.id));
            if !matches!(asked, Err(Error::NotFound { .. })) {
                self.domains.insert(domain.name.as_str().to_owned(), domain);
            }
        }
        Ok(())
    }

    /// Locks those whom the caller may change, and no others: nobody waits for a line that is refused.
    async fn load_users(
        &mut self,
        cx: &Context,
        tx: &mut Transaction,
        lines: &[Line],
    ) -> Result<()> {
        let owners = self.find_users(tx, lines).await?;
        if owners.is_empty() {
            return Ok(());
        }
        let may = |user: &User| cx.authorize(Action::Update, Resource::User(user.scope())).is_ok();
        let found = store::accounts::list_by_ids(&mut **tx, &owners).await?;
        let (mut users, others): (Vec<_>, Vec<_>) = found.into_iter().partition(may);
        let owners: Vec<_> = users.iter().map(|user| user.id).collect();
        if !owners.is_empty() {
            store::accounts::lock_all(&mut **tx, &owners).await?;
            // As whoever was waited for has left them.
            users = store::accounts::list_by_ids(&mut **tx, &owners).await?;
        }
        if lines.iter().any(|line| line.secret.is_some() || line.must_change.is_some()) {
            self.passwords = store::credentials::list_passwords(&mut **tx, &owners).await?;
        }
        self.users = users.into_iter().chain(others).map(|user| (user.id, user)).collect();
        Ok(())
    }

    /// Finds who may be whom lines are about.
    async fn find_users(&mut self, tx: &mut Transaction, lines: &[Line]) -> Result<Vec<UserId>> {
        let (mut owners, mut addresses, mut external_ids) = (Vec::new(), Vec::new(), Vec::new());
        for line in lines {
            let Ok(domain) = self.domain(line).map(|domain| domain.id) else { continue };
            match &line.whom {
                Whom::User(id) => {
                    owners.push(*id);
                    continue;
                }
                Whom::ExternalId(id) => external_ids.push((domain, id.as_str())),
                Whom::Address => {}
            }
            addresses.extend(line.local_part.as_ref().map(|part| (domain, part.as_str())));
        }
        if !addresses.is_empty() {
            for one in store::addresses::list(&mut **tx, &addresses).await? {
                owners.push(one.owner_id.into());
                self.taken.insert((one.domain_id, one.local_part), one.owner_id);
            }
        }
        if !external_ids.is_empty() {
            let known = store::accounts::list_external_ids(&mut **tx, &external_ids).await?;
            for (domain, text, user) in known {
                owners.push(user);
                self.external_ids.insert((domain, text), user);
            }
        }
        Ok(owners)
    }

    async fn load_plans(&mut self, tx: &mut Transaction, lines: &[Line]) -> Result<()> {
        let all = Page { after: None, limit: PLANS };
        let all = store::plans::list(&mut **tx, all).await?;
        let mut used: BTreeSet<_> = self.users.values().map(|user| user.plan_id).collect();
        used.insert(plan::standard());
        for named in lines.iter().filter_map(|line| line.plan.as_ref()) {
            let found = all.iter().find(|plan| match named {
                PlanRef::Id(id) => plan.id == *id,
                PlanRef::Name(name) => plan.name == *name,
            });
            used.extend(found.map(|plan| plan.id));
        }
        for id in used {
            self.hold_plan(tx, id).await?;
        }
        Ok(())
    }

    async fn hold_plan(&mut self, tx: &mut Transaction, id: PlanId) -> Result<()> {
        if !self.plans.contains_key(&id)
            && let Some(plan) = store::plans::hold(&mut **tx, id).await?
        {
            self.plan_names.insert(plan.name.clone(), id);
            self.plans.insert(id, plan);
        }
        Ok(())
    }

    async fn load_departments(&mut self, tx: &mut Transaction, lines: &[Line]) -> Result<()> {
        let named: BTreeSet<_> = lines
            .iter()
            .filter(|line| matches!(line.department, Some(Some(_))))
            .filter_map(|line| Some(self.domain(line).ok()?.id))
            .collect();
        if named.is_empty() {
            return Ok(());
        }
        let named: Vec<_> = named.into_iter().collect();
        let all = store::departments::list_of_domains(&mut **tx, &named).await?;
        self.departments = all.into_iter().map(|one| (one.id, one)).collect();
        let paths: Vec<_> = self.departments.values().map(|one| (one.domain_id, one.id)).collect();
        for (domain, id) in paths {
            self.paths.insert((domain, self.path(id)), id);
        }
        let used: BTreeSet<_> =
            lines.iter().filter_map(|line| self.department(line).ok().flatten()).collect();
        let used: Vec<_> = used.into_iter().collect();
        store::departments::hold_all(&mut **tx, &used).await?;
        let presets: BTreeSet<_> = used.iter().filter_map(|id| self.preset(*id)).collect();
        for id in presets {
            self.hold_plan(tx, id).await?;
        }
        Ok(())
    }

    /// The names from the top, with `/` between them.
    fn path(&self, id: DepartmentId) -> String {
        path(&self.departments, id)
    }

    /// The plan that a department gives to new users.
    fn preset(&self, id: DepartmentId) -> Option<PlanId> {
        let mut next = self.departments.get(&id);
        while let Some(one) = next {
            if one.plan_id.is_some() {
                return one.plan_id;
            }
            next = one.parent_id.and_then(|id| self.departments.get(&id));
        }
        None
    }

    /// The domain of a line.
    pub(super) fn domain(&self, line: &Line) -> Result<&Domain, Fault> {
        let fault = |reason: String| Fault::cell(Column::Address, reason);
        match (&line.domain, self.only) {
            (None, None) => Err(fault("must be an address: name@domain".to_owned())),
            (Some(name), None) => {
                let found = self.domains.get(name.as_str());
                found.ok_or_else(|| fault(format!("domain {name} does not exist")))
            }
            (name, Some(_)) => {
                let gone = || fault("the domain does not exist any more".to_owned());
                let only = self.domains.values().next().ok_or_else(gone)?;
                match name {
                    Some(name) if *name != only.name => {
                        Err(fault(format!("must be an address of {}", only.name)))
                    }
                    _ => Ok(only),
                }
            }
        }
    }

    /// The department that a line names; nothing: it names none, or the user is to be in none.
    pub(super) fn department(&self, line: &Line) -> Result<Option<DepartmentId>, Fault> {
        let Some(named) = line.department.as_ref().and_then(Option::as_ref) else {
            return Ok(None);
        };
        let domain = self.domain(line)?.id;
        let found = match named {
            DepartmentRef::Id(id) => {
                let found = self.departments.get(id).filter(|one| one.domain_id == domain);
                found.map(|one| one.id)
            }
            DepartmentRef::Path(path) => self.paths.get(&(domain, path.clone())).copied(),
        };
        let found = found.ok_or_else(|| {
            Fault::cell(
                Column::Department,
                "must be the path or the id of a department of the domain",
            )
        });
        found.map(Some)
    }

    /// The plan that a line names.
    pub(super) fn plan(&self, line: &Line) -> Result<Option<&Plan>, Fault> {
        let Some(named) = &line.plan else { return Ok(None) };
        let found = match named {
            PlanRef::Id(id) => self.plans.get(id),
            PlanRef::Name(name) => self.plan_names.get(name).and_then(|id| self.plans.get(id)),
        };
        found.map(Some).ok_or_else(|| Fault::cell(Column::Plan, "must be a plan that there is"))
    }

    /// The plan of a user who is in this department, if no other one is named.
    pub(super) fn plan_of(&self, department: Option<DepartmentId>) -> Result<&Plan> {
        let id = department.and_then(|id| self.preset(id)).unwrap_or_else(plan::standard);
        self.plan_by_id(id)
    }

    /// A plan that is held.
    pub(super) fn plan_by_id(&self, id: PlanId) -> Result<&Plan> {
        self.plans.get(&id).ok_or_else(|| Error::corrupt("plan", id, "is missing"))
    }

    /// The user whom a line is about; nothing: nobody yet.
    pub(super) fn user(&self, line: &Line, domain: &Domain) -> Result<Option<&User>, Fault> {
        match &line.whom {
            Whom::Address => self.user_of_address(line, domain),
            Whom::ExternalId(id) => self.user_of_external_id(line, domain, id),
            Whom::User(id) => {
                let gone = || Fault::line("the user does not exist any more");
                self.users.get(id).ok_or_else(gone).map(Some)
            }
        }
    }

    fn user_of_address(&self, line: &Line, domain: &Domain) -> Result<Option<&User>, Fault> {
        let Some(part) = &line.local_part else { return Ok(None) };
        let owner = self.taken.get(&(domain.id, part.as_str().to_owned()));
        let Some(owner) = owner else { return Ok(None) };
        let user = self.users.get(&UserId::from(*owner));
        let user = user.filter(|user| user.local_part == *part);
        // Something that no line changes, or somebody out of reach.
        user.map(Some).ok_or_else(|| taken(&EmailAddress::of(part, &domain.name)))
    }

    fn user_of_external_id(
        &self,
        line: &Line,
        domain: &Domain,
        id: &str,
    ) -> Result<Option<&User>, Fault> {
        let fault = |reason| Err(Fault::cell(Column::Address, reason));
        let known = self.external_ids.get(&(domain.id, id.to_owned()));
        let known = known.and_then(|user| self.users.get(user));
        match (known.filter(|user| user.profile.external_id == id), &line.local_part) {
            (Some(user), Some(part)) if *part != user.local_part => fault(format!(
                "external_id {id} is that of {}: imports do not rename, change the user first",
                user.address
            )),
            (Some(user), _) => Ok(Some(user)),
            (None, None) => fault(format!("must not be empty: nobody has external_id {id}")),
            (None, Some(_)) => match self.user_of_address(line, domain)? {
                None => Ok(None),
                Some(other) => fault(format!(
                    "address {} already exists, and has not this external_id",
                    other.address
                )),
            },
        }
    }

    /// The node for the next new mailbox.
    pub(super) fn place(&mut self) -> Option<(umail_proto::ids::NodeId, String)> {
        let place = self.places.iter_mut().min_by_key(|place| place.users)?;
        place.users += 1;
        Some((place.id, place.name.clone()))
    }
}

/// The refusal of an address that something else has.
pub(super) fn taken(address: &EmailAddress) -> Fault {
    Fault::cell(Column::Address, format!("address {address} already exists"))
}
