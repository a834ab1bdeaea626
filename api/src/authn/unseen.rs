//! What callers were told that there is no such thing. Whether there is, and only out of their scope, is
//! looked up afterwards, so that an answer takes as long and does as much in either case.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use umail_proto::ids::{AliasId, DepartmentId, RoleAssignmentId};

use crate::{
    authn::repeats::Repeats,
    context::Caller,
    model::{
        audit::AuditEvent, domain::DomainRef, domain_alias::DomainAliasRef, group::GroupRef,
        user::UserRef,
    },
};

/// So many wait to be looked up at most, which is done every second.
const MOST: usize = 1_000;
/// And so many of one caller: nobody takes the places of others.
const MOST_OF_ONE: usize = 100;

/// Something that has a scope, as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A domain.
    Domain(DomainRef),
    /// Another name of a domain.
    DomainAlias(DomainAliasRef),
    /// A department.
    Department(DepartmentId),
    /// A user.
    User(UserRef),
    /// An alias.
    Alias(AliasId),
    /// A group.
    Group(GroupRef),
    /// A role assignment.
    RoleAssignment(RoleAssignmentId),
}

/// Somebody who was told that there is no such thing.
#[derive(Debug)]
pub struct Asked {
    /// Who, with the rights of then.
    pub caller: Arc<Caller>,
    /// From where.
    pub address: Option<IpAddr>,
    /// What was asked for.
    pub thing: Thing,
    /// The event that it is, should there be such a thing; what it is about is not known yet.
    pub event: AuditEvent,
}

/// What waits to be looked up, in the memory of this instance.
#[derive(Debug, Default)]
pub struct Unseen {
    waiting: Mutex<Waiting>,
    /// Events of this kind: apart from the others, so that nobody learns from those whether there was one.
    repeats: Repeats,
}

#[derive(Debug, Default)]
struct Waiting {
    asked: Vec<Asked>,
    lost: u64,
}

impl Unseen {
    /// Takes note, as long as there is room.
    pub fn push(&self, asked: Asked) {
        let mut waiting = self.lock();
        let who = asked.event.actor_id;
        let own = waiting.asked.iter().filter(|one| one.event.actor_id == who).count();
        if own < MOST_OF_ONE && waiting.asked.len() < MOST {
            waiting.asked.push(asked);
        } else {
            waiting.lost += 1;
        }
    }

    /// Counts those that could not be looked up.
    pub fn lose(&self, number: usize) {
        self.lock().lost += u64::try_from(number).unwrap_or_default();
    }

    /// All that waits.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.lock().asked)
    }

    /// How many there was no room for.
    pub fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.lock().lost)
    }

    /// Those that were written in this minute.
    #[must_use]
    pub const fn repeats(&self) -> &Repeats {
        &self.repeats
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
