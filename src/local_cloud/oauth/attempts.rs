//! How often somebody may try to sign in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// The length of a window in milliseconds.
const WINDOW: i64 = 5 * 60_000;
/// Failures that one account takes in a window. A person seldom needs more; a guesser needs many more.
const PER_ACCOUNT: u32 = 10;
/// Failures that one address may cause in a window, over all accounts.
const PER_ADDRESS: u32 = 100;
/// Accounts and addresses that are counted at a time. When there are more, nobody new may try until a window ends.
const MOST_COUNTED: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Account(String),
    Address(Option<IpAddr>),
}

#[derive(Clone, Copy, Debug)]
struct Window {
    started: i64,
    used: u32,
}

/// The failed attempts of the current windows. An attempt counts as failed until it has succeeded, so that many at the
/// same time are no way around the limit.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<Key, Window>>);

/// Nobody may try for as many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    pub seconds: i64,
}

impl Attempts {
    /// Counts an attempt with `account` from `address` at `now`, or refuses it.
    pub fn begin(&self, account: &str, address: Option<IpAddr>, now: i64) -> Result<(), TooMany> {
        let limits = [(account_key(account), PER_ACCOUNT), (Key::Address(address), PER_ADDRESS)];
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() + limits.len() > MOST_COUNTED {
            windows.retain(|_, window| now < window.started + WINDOW);
        }
        let full = windows.len() + limits.len() > MOST_COUNTED;
        for (key, limit) in &limits {
            let current = windows.get(key).filter(|window| now < window.started + WINDOW);
            let ends = match current {
                Some(window) if window.used >= *limit => window.started + WINDOW,
                None if full => now + WINDOW,
                _ => continue,
            };
            return Err(TooMany { seconds: (ends - now + 999) / 1000 });
        }
        for (key, _) in limits {
            let window = windows.entry(key).or_insert(Window { started: now, used: 0 });
            if now >= window.started + WINDOW {
                *window = Window { started: now, used: 0 };
            }
            window.used += 1;
        }
        Ok(())
    }

    /// Forgets the failures of an account that has signed in, and takes this attempt off the address.
    pub fn succeeded(&self, account: &str, address: Option<IpAddr>) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.remove(&account_key(account));
        if let Some(window) = windows.get_mut(&Key::Address(address)) {
            window.used = window.used.saturating_sub(1);
        }
    }
}

fn account_key(account: &str) -> Key {
    Key::Account(account.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    const THERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));

    #[test]
    fn an_account_is_closed_after_its_failures_from_wherever_they_come_until_the_window_ends() {
        let attempts = Attempts::default();
        for _ in 0..PER_ACCOUNT {
            assert_eq!(attempts.begin("ada@acme.example", HERE, 0), Ok(()));
        }
        assert_eq!(attempts.begin("ADA@acme.example", THERE, 1000), Err(TooMany { seconds: 299 }));
        assert_eq!(attempts.begin("bob@acme.example", HERE, 1000), Ok(()));
        assert_eq!(attempts.begin("ada@acme.example", HERE, WINDOW), Ok(()));
    }

    #[test]
    fn an_address_is_closed_after_its_failures_with_whatever_accounts() {
        let attempts = Attempts::default();
        for index in 0..PER_ADDRESS {
            assert_eq!(attempts.begin(&format!("{index}@acme.example"), HERE, 0), Ok(()));
        }
        assert!(attempts.begin("ada@acme.example", HERE, 0).is_err());
        assert_eq!(attempts.begin("ada@acme.example", THERE, 0), Ok(()));
    }

    #[test]
    fn whoever_signs_in_is_not_counted() {
        let attempts = Attempts::default();
        for _ in 0..PER_ADDRESS * 2 {
            assert_eq!(attempts.begin("ada@acme.example", HERE, 0), Ok(()));
            attempts.succeeded("ada@acme.example", HERE);
        }
    }

    #[test]
    fn what_is_counted_is_bounded_and_room_is_made_when_windows_end() {
        let attempts = Attempts::default();
        let address = |index: usize| Some(IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(index).unwrap())));
        for index in 0..MOST_COUNTED / 2 {
            assert_eq!(attempts.begin(&format!("{index}@acme.example"), address(index), 0), Ok(()));
        }
        assert!(attempts.begin("new@acme.example", HERE, 0).is_err());
        assert_eq!(attempts.begin("new@acme.example", HERE, WINDOW), Ok(()));
        assert_eq!(attempts.0.lock().unwrap().len(), 2);
    }
}
