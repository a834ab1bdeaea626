//! Aliases: other addresses, and where mail goes from them.

use serde::Serialize;
use time::OffsetDateTime;
use umail_proto::ids::{AliasId, DomainId, UserId};

use crate::{
    error::Violation,
    model::{
        address::{EmailAddress, LocalPart},
        domain_alias::DomainAlias,
    },
};

/// Targets of one alias at most.
pub const MAX_TARGETS: usize = 100;

/// Another address; or, of a user's own address, the forwarding of its mail.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Alias {
    /// Identifies the alias.
    pub id: AliasId,
    /// The domain.
    pub domain_id: DomainId,
    /// What stands before the `@`.
    #[serde(skip)]
    pub local_part: LocalPart,
    /// The address.
    pub address: EmailAddress,
    /// Where its mail goes.
    pub targets: Vec<EmailAddress>,
    /// The user who may send as this address.
    pub user_id: Option<UserId>,
    /// Of a user's own address: the mailbox gets a copy as well.
    pub keep_copy: bool,
    /// Counts the changes.
    pub revision: i64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Reads the targets of an alias with this address: none of them twice, none of them itself. Those
/// under another name of its domain are taken under the name of the domain.
pub fn parse_targets(
    targets: &[String],
    own: &EmailAddress,
    names: &[DomainAlias],
) -> Result<Vec<EmailAddress>, Vec<Violation>> {
    if targets.len() > MAX_TARGETS {
        let reason = format!("must have at most {MAX_TARGETS} items");
        return Err(vec![Violation { field: "/targets".to_owned(), reason }]);
    }
    let (mut parsed, mut violations) = (Vec::new(), Vec::new());
    for (index, target) in targets.iter().enumerate() {
        let result = EmailAddress::parse(target).and_then(|target| {
            let target = at_home(target, own, names);
            if target == *own {
                Err("must not be the address itself".to_owned())
            } else {
                Ok(target)
            }
        });
        match result {
            Ok(target) if parsed.contains(&target) => {}
            Ok(target) => parsed.push(target),
            Err(reason) => {
                violations.push(Violation { field: format!("/targets/{index}"), reason });
            }
        }
    }
    if violations.is_empty() { Ok(parsed) } else { Err(violations) }
}

/// A target under another name of the domain, under the name of the domain.
fn at_home(target: EmailAddress, own: &EmailAddress, names: &[DomainAlias]) -> EmailAddress {
    let is_ours = names.iter().any(|one| one.name.as_str() == target.parts().1);
    if is_ours { target.in_domain_of(own) } else { target }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::address::DomainName;

    #[test]
    fn targets_are_canonical_and_never_the_address_itself() {
        let also = |name: &str| DomainAlias {
            id: Uuid::nil().into(),
            domain_id: Uuid::nil().into(),
            name: DomainName::parse(name).unwrap(),
            created_at: OffsetDateTime::UNIX_EPOCH,
        };
        let own = EmailAddress::parse("sales@example.com").unwrap();
        let parse = |targets: &[&str]| {
            let targets: Vec<_> = targets.iter().map(|one| (*one).to_owned()).collect();
            parse_targets(&targets, &own, &[also("example.net")])
        };
        let parsed = ["A@example.com", "a@EXAMPLE.com", "b@example.org", "a@example.net"];
        let parsed: Vec<_> = parse(&parsed).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(parsed, ["a@example.com", "b@example.org"]);
        let refused = ["a@example.com", "Sales@example.com", "x", "sales@Example.net"];
        let violations = parse(&refused).unwrap_err();
        let fields: Vec<_> = violations.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["/targets/1", "/targets/2", "/targets/3"]);
        assert!(parse(&["a@example.com"; 101]).is_err());
    }
}
