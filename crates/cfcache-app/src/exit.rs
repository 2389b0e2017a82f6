//! The exit codes.

use cfcache_client::ErrorKind;

/// Declares the enum, and collects its comments for the manual.
macro_rules! exits {
    ($(#[$meta:meta])* pub enum $exit:ident { $(#[doc = $means:literal] $name:ident,)+ }) => {
        $(#[$meta])*
        pub enum $exit {
            $(#[doc = $means] $name,)+
        }

        impl $exit {
            /// All exit codes with their meanings.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, $means),)+];
        }
    };
}

exits! {
    /// The exit code of the process. The numbers are a contract with scripts and do not change.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Exit {
        /// Everything that was asked for was accepted.
        Accepted,
        /// The API refused it, or some items failed.
        Failed,
        /// Wrong usage or invalid input.
        Usage,
        /// No credentials, or the API refused them.
        Credentials,
        /// Still rate limited after every retry, or the API demanded a longer wait than is allowed.
        RateLimited,
        /// The API could not be reached, or answered with 5xx after every retry.
        Unreachable,
        /// Everything was accepted, but `--verify` found survivors, or could not prove that old copies are gone.
        Unproven,
        /// The condition of `--after` did not hold in time; nothing was purged.
        NotReady,
        /// Interrupted.
        Interrupted,
    }
}

impl Exit {
    /// Returns the exit code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Credentials => 3,
            Self::RateLimited => 4,
            Self::Unreachable => 5,
            Self::Unproven => 6,
            Self::NotReady => 7,
            Self::Interrupted => 130,
        }
    }

    /// Returns the worse of two: the one with the higher code.
    pub const fn or(self, other: Self) -> Self {
        if self.code() >= other.code() { self } else { other }
    }
}

impl Default for Exit {
    /// The default is success.
    fn default() -> Self {
        Self::Accepted
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Credentials => Self::Credentials,
            ErrorKind::RateLimited => Self::RateLimited,
            ErrorKind::Unreachable => Self::Unreachable,
            ErrorKind::Interrupted => Self::Interrupted,
            _ => Self::Failed,
        }
    }
}
