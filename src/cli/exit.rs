//! How a command ended, as scripts see it. Documented in `docs/command-line.md`; 2 is clap's, for a wrong usage.

use std::process::ExitCode;

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is so, or was done.
    Done,
    /// The command could not do its work: no cluster, no permission, no such object.
    Failed,
    /// The application is not ready, or its credential was not accepted.
    NotReady,
    /// It was not done in the time given; it may still be.
    TimedOut,
    /// The rotation was refused, or failed.
    Refused,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::NotReady => 3,
            Self::TimedOut => 4,
            Self::Refused => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
