//! What a list is searched for.

use crate::{
    error::{Error, Result},
    model::{address::DomainName, text},
};

/// Characters of a search.
const LONGEST: usize = 254;
/// With so many characters it may be anywhere; with fewer, only at the beginning of a word.
const INFIX: usize = 3;

/// A text that what is wanted has in its address or in its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search(String);

impl Search {
    /// Reads what is searched for; the reason says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        text::name(text, LONGEST).map(Self)
    }

    /// Reads the parameter of a list, if it is given.
    pub fn parse_parameter(text: Option<&str>) -> Result<Option<Self>> {
        let search = text.map(Self::parse).transpose();
        search.map_err(|reason| Error::invalid("search", reason))
    }

    /// What to look for in the texts of the rows of a domain (each begins with a blank, as every word
    /// does, and has an `@` and a new line behind the local part). Nothing: no row has it.
    #[must_use]
    pub fn in_domain(&self, domain: &DomainName) -> Option<String> {
        let Some((local_part, name)) = self.0.rsplit_once('@') else {
            return Some(term(&self.0));
        };
        begins(domain, name).then(|| format!("{local_part}@\n"))
    }

    /// What to look for in the names of domains. Of international names whole labels.
    #[must_use]
    pub fn of_domains(&self) -> String {
        let name = self.0.strip_prefix('@').unwrap_or(&self.0);
        term(&name.split('.').map(ascii).collect::<Vec<_>>().join("."))
    }
}

fn term(text: &str) -> String {
    if text.chars().count() < INFIX { format!(" {text}") } else { text.to_owned() }
}

/// A label as domain names have it; as it is, if that cannot be.
fn ascii(label: &str) -> String {
    idna::domain_to_ascii(label).unwrap_or_else(|_cause| label.to_owned())
}

/// Whether a name begins like this, in either spelling.
fn begins(domain: &DomainName, text: &str) -> bool {
    let (unicode, _) = idna::domain_to_unicode(domain.as_str());
    let text = text.to_lowercase();
    domain.as_str().starts_with(&text) || unicode.starts_with(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_characters_begin_a_word_and_more_are_anywhere() {
        let domain = DomainName::parse("bücher.example").unwrap();
        let term = |text: &str| Search::parse(text).unwrap().in_domain(&domain);
        assert_eq!(term(" an ").as_deref(), Some(" an"));
        assert_eq!(term("ann").as_deref(), Some("ann"));
        assert_eq!(term("日本").as_deref(), Some(" 日本"));
        for domain in ["", "b", "Bücher.ex", "xn--bcher-kva.example"] {
            assert_eq!(term(&format!("a@{domain}")).as_deref(), Some("a@\n"), "{domain}");
        }
        assert_eq!(term("anna@c"), None);
        assert_eq!(term("anna@bücher.example.org"), None);
    }

    #[test]
    fn domains_are_found_by_either_spelling() {
        let term = |text: &str| Search::parse(text).unwrap().of_domains();
        assert_eq!(term("Bücher"), "xn--bcher-kva");
        assert_eq!(term("@bücher.ex"), "xn--bcher-kva.ex");
        assert_eq!(term("ex"), " ex");
        assert_eq!(term("a_b"), "a_b");
    }

    #[test]
    fn what_cannot_be_typed_is_refused() {
        for text in ["", "  ", "a\0b", "a\nb", "\u{202e}abc", &"x".repeat(255)] {
            assert!(Search::parse(text).is_err(), "{text:?}");
        }
    }
}
