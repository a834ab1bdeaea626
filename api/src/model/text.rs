//! Text that people wrote: normalised, without control characters, of bounded length.

use unicode_normalization::UnicodeNormalization;

/// Reads one line of text; the reason says what is wrong with it.
pub fn line(text: &str, max: usize) -> Result<String, String> {
    if text.chars().any(is_control) {
        return Err("must not contain control characters".to_owned());
    }
    let text: String = text.trim().nfc().collect();
    if text.chars().count() > max {
        return Err(format!("must have at most {max} characters"));
    }
    Ok(text)
}

/// The same, and it must not be empty.
pub fn name(text: &str, max: usize) -> Result<String, String> {
    let text = line(text, max)?;
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text) }
}

/// Reads lines of text, which end with a line feed then; what is empty at the end is cut off.
pub fn lines(text: &str) -> Result<String, String> {
    let text: String = text.replace("\r\n", "\n").trim_end().nfc().collect();
    if text.chars().any(|one| is_control(one) && one != '\n' && one != '\t') {
        return Err("must not contain control characters but line breaks and tabs".to_owned());
    }
    Ok(text)
}

/// Controls, and what turns the direction of all that follows.
fn is_control(one: char) -> bool {
    one.is_control() || ('\u{202a}'..='\u{202e}').contains(&one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_normalised_and_checked() {
        assert_eq!(line(" Jose\u{301} ", 9).unwrap(), "José");
        assert!(line("a\0b", 9).is_err());
        assert!(line("a\nb", 9).is_err());
        assert!(line("\u{202e}cod.exe", 9).is_err());
        assert!(line("1234567890", 9).is_err());
        assert!(name("  ", 9).is_err());
    }
}
