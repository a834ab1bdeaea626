//! What a user really may: every level only narrows, and the highest that does is named.

use umail_api_types::{
    entitlements::{Entitlements, FunctionEntitlement, Origin, OriginLevel, SendingEntitlement},
    functions::{self, FunctionName},
    limit::{Quota, SendingLimit},
    sending::SendingLimitName,
};
use umail_proto::functions::Functions;

use crate::model::{
    department::Department, domain::Domain, plan::Plan, sending::SendingLimits, settings::Settings,
    user::User,
};

/// Everything that decides about a user.
#[derive(Clone, Debug)]
pub struct Levels<'a> {
    /// The settings of the system.
    pub settings: &'a Settings,
    /// The domain.
    pub domain: &'a Domain,
    /// The department and those above it, the highest first.
    pub departments: &'a [Department],
    /// The plan.
    pub plan: &'a Plan,
    /// The user.
    pub user: &'a User,
}

impl Levels<'_> {
    /// Computes each value, with the level that set it.
    #[must_use]
    pub fn entitlements(&self) -> Entitlements {
        let by_user = self.user.status.number() > self.domain.status.number();
        let (status, status_set_by) = if by_user {
            (self.user.status, self.of_user())
        } else {
            (self.domain.status, self.of_domain())
        };
        let own =
            self.user.quota.filter(|own| self.plan.quota.number().is_none_or(|most| *own < most));
        let (quota_bytes, quota_set_by) = match own {
            Some(bytes) => (Quota::AtMost(bytes), self.of_user()),
            None => (self.plan.quota, self.of_plan()),
        };
        let functions = functions::names(Functions::ALL).into_iter().map(|function| {
            let denied_by = self.denied_by(function);
            FunctionEntitlement { function, allowed: denied_by.is_none(), denied_by }
        });
        Entitlements {
            status,
            status_set_by,
            quota_bytes,
            quota_set_by,
            sending: self.sending(),
            functions: functions.collect(),
        }
    }

    /// What the user may send: the narrowest that is said, and the highest level that says it.
    fn sending(&self) -> Vec<SendingEntitlement> {
        let of_all = SendingLimits::of_message_size(self.settings.message_size_limit_bytes);
        let levels = [
            (of_all, of_system()),
            (self.plan.sending, self.of_plan()),
            (self.user.sending, self.of_user()),
        ];
        let narrowest = |limit| {
            let said = levels.iter().filter_map(|(has, origin)| Some((has.get(limit)?, origin)));
            let (at_most, set_by) = said.min_by_key(|(most, _)| *most).unzip();
            SendingEntitlement {
                limit,
                at_most: SendingLimit::from_number(at_most),
                set_by: set_by.cloned().unwrap_or_else(|| self.of_plan()),
            }
        };
        SendingLimitName::ALL.map(narrowest).into()
    }

    /// The highest level that lacks this.
    fn denied_by(&self, function: FunctionName) -> Option<Origin> {
        let lacks = |has: Functions| !has.contains(function.into());
        if lacks(self.domain.functions) {
            return Some(self.of_domain());
        }
        if let Some(one) = self.departments.iter().find(|one| lacks(one.functions)) {
            let (level, id) = (OriginLevel::Department, one.id.uuid());
            return Some(Origin { level, id, name: one.name.clone() });
        }
        if lacks(self.plan.functions) {
            return Some(self.of_plan());
        }
        lacks(self.user.functions).then(|| self.of_user())
    }

    fn of_domain(&self) -> Origin {
        let (level, id) = (OriginLevel::Domain, self.domain.id.uuid());
        Origin { level, id, name: self.domain.name.to_string() }
    }

    fn of_plan(&self) -> Origin {
        let (level, id) = (OriginLevel::Plan, self.plan.id.uuid());
        Origin { level, id, name: self.plan.name.clone() }
    }

    fn of_user(&self) -> Origin {
        let (level, id) = (OriginLevel::User, self.user.id.uuid());
        Origin { level, id, name: self.user.address.to_string() }
    }
}

fn of_system() -> Origin {
    Origin { level: OriginLevel::System, id: uuid::Uuid::nil(), name: "system".to_owned() }
}
