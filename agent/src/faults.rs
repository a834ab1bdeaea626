//! Fault points: named moments at which a test ends this process the way a crash would.
//!
//! Only builds with the feature `faults` have them: those of the tests of this crate.

#[cfg(all(feature = "faults", not(debug_assertions)))]
compile_error!("fault points are for tests, a release has none");

/// The environment variable that names the point where the process ends.
pub const VARIABLE: &str = "UMAIL_FAULT";

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A moment at which the process can end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Point {
            $($(#[$doc])* $name,)*
        }

        impl Point {
            /// All of them: a test that ends the process at each has forgotten none.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

points! {
    /// The transaction of the secrets is open, that of the directory is not.
    SecretsBegun,
    /// Both transactions are open, nothing is written.
    BothBegun,
    /// What a delta removes is gone.
    RowsRemoved,
    /// What a delta brings is written, the position is not.
    RowsUpserted,
    /// The rows of a snapshot wait in their file.
    SnapshotWaits,
    /// The indexes are dropped for a first snapshot.
    IndexesDropped,
    /// The old rows are gone, the new ones not there.
    TablesCleared,
    /// The rows of a snapshot are written, its indexes are not made.
    TablesFilled,
    /// The indexes are there, the position is still the old one.
    IndexesMade,
    /// Everything is written, nothing is committed.
    PositionWritten,
    /// The secrets are committed, the directory is not.
    SecretsCommitted,
    /// Both are committed, nobody has been told.
    BothCommitted,
}

/// Ends the process if this is the point that the environment names.
#[cfg(feature = "faults")]
pub(crate) fn reach(point: Point) {
    if std::env::var(VARIABLE).is_ok_and(|name| name == format!("{point:?}")) {
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).ok();
    }
}

/// Goes on: this build has no faults.
#[cfg(not(feature = "faults"))]
pub(crate) const fn reach(_point: Point) {}
