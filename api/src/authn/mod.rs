//! Who is it: passwords, tokens, and the callers behind them.

pub mod api_keys;
pub mod callers;
pub mod passwords;
pub mod random;
pub mod rates;
pub mod repeats;
pub mod tokens;
pub mod unseen;
