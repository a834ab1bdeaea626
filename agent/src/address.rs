//! Mail addresses as users and senders write them.

/// The address without the tag that its user has put there.
pub(crate) fn without_tag(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local_part, domain)) => match local_part.split_once('+') {
            Some((user, _tag)) if !user.is_empty() => format!("{user}@{domain}"),
            _ => address.to_owned(),
        },
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_no_part_of_an_address() {
        for (address, without) in
            [("a+b@c", "a@c"), ("a@c", "a@c"), ("+b@c", "+b@c"), ("a+b", "a+b"), ("", "")]
        {
            assert_eq!(without_tag(address), without);
        }
    }
}
