//! How much a test does.

/// So many, multiplied by `UMAIL_TEST_SCALE` where that is set.
#[must_use]
pub fn scale(usual: usize) -> usize {
    let factor = std::env::var("UMAIL_TEST_SCALE").ok().and_then(|text| text.parse().ok());
    usual * factor.unwrap_or(1)
}
