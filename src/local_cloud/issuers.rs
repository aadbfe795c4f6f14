//! The issuers of other people's tokens: where their keys are found, and for how long they are remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use jsonwebtoken::DecodingKey;
use url::{Host, Url};

mod fetch;

pub use fetch::{CaError, Unusable};

/// How long keys are used before they are looked for again, in milliseconds: a key that its issuer withdraws is of use
/// for no longer.
const LIFETIME: i64 = 10 * 60_000;
/// The least time between two looks at one issuer on account of a token, in milliseconds. Whoever can guess what a token
/// would say can name keys that nobody has.
const SPACING: i64 = 10_000;
/// How many issuers are remembered at a time.
const MOST_ISSUERS: usize = 100;
/// The longest issuer that is taken, in bytes.
const LONGEST: usize = 600;

/// The RSA keys of an issuer by their identifiers.
type Keys = HashMap<String, Arc<DecodingKey>>;

type Look = Shared<BoxFuture<'static, Result<Arc<Keys>, Unusable>>>;

/// What is known of one issuer.
struct Known {
    /// When the last look began, in milliseconds since the Unix epoch.
    looked: i64,
    /// The last look, or the one that is under way.
    look: Look,
    /// The last keys that a look brought, and when it began. A look that fails takes nothing away.
    keys: Option<(i64, Arc<Keys>)>,
}

/// Finds the keys of issuers, and remembers them.
pub struct Issuers {
    fetch: fetch::Fetch,
    /// Held for no longer than it takes to look something up: nothing is waited for meanwhile.
    known: Mutex<HashMap<String, Known>>,
}

impl Issuers {
    /// `authorities`: certificates in PEM that are trusted beside the platform's own.
    pub fn new(authorities: &[Vec<u8>]) -> Result<Self, CaError> {
        Ok(Self { fetch: fetch::Fetch::new(authorities)?, known: Mutex::default() })
    }

    /// Looks at an issuer now, whatever is remembered, and remembers its keys. `now` is in milliseconds since the Unix
    /// epoch.
    pub async fn check(&self, issuer: &str, now: i64) -> Result<(), Unusable> {
        let keys = self.fetch.keys(issuer.to_owned()).await?;
        self.remember(issuer, now, &keys, &futures::future::ready(Ok(Arc::clone(&keys))).boxed().shared());
        Ok(())
    }

    /// The key `id` of an issuer: from memory, or else from the issuer, whose keys may have changed. `now` is in
    /// milliseconds since the Unix epoch.
    pub async fn key(&self, issuer: &str, id: &str, now: i64) -> Result<Arc<DecodingKey>, Unusable> {
        if let Some(key) = self.remembered(issuer, id, now) {
            return Ok(key);
        }
        let (began, look) = self.look(issuer, now);
        let keys = look.clone().await?;
        self.remember(issuer, began, &keys, &look);
        keys.get(id).cloned().ok_or(Unusable::NoSuchKey)
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, Known>) -> T) -> T {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn remembered(&self, issuer: &str, id: &str, now: i64) -> Option<Arc<DecodingKey>> {
        self.with(|known| {
            let (at, keys) = known.get(issuer)?.keys.as_ref()?;
            if now < at + LIFETIME { keys.get(id).cloned() } else { None }
        })
    }

    /// A look that everybody shares who asks while it is under way and for a while after it.
    fn look(&self, issuer: &str, now: i64) -> (i64, Look) {
        self.with(|known| {
            if let Some(recent) = known.get(issuer).filter(|known| now < known.looked + SPACING) {
                return (recent.looked, recent.look.clone());
            }
            let look = self.fetch.keys(issuer.to_owned()).boxed().shared();
            let keys = known.remove(issuer).and_then(|known| known.keys);
            insert(known, issuer, Known { looked: now, look: look.clone(), keys }, now);
            (now, look)
        })
    }

    fn remember(&self, issuer: &str, began: i64, keys: &Arc<Keys>, look: &Look) {
        let keys = Arc::clone(keys);
        self.with(|known| match known.get_mut(issuer) {
            Some(known) if known.keys.as_ref().is_some_and(|(at, _)| *at > began) => {}
            Some(known) => known.keys = Some((began, keys)),
            None => {
                let found = Known { looked: began, look: look.clone(), keys: Some((began, keys)) };
                insert(known, issuer, found, began);
            }
        });
    }
}

/// Makes room first: for what is out of date, else for what was looked at longest ago.
fn insert(known: &mut HashMap<String, Known>, issuer: &str, new: Known, now: i64) {
    if known.len() >= MOST_ISSUERS {
        known.retain(|_, known| now < known.looked + LIFETIME);
    }
    if known.len() >= MOST_ISSUERS
        && let Some(oldest) = known.iter().min_by_key(|(_, known)| known.looked).map(|(issuer, _)| issuer.clone())
    {
        known.remove(&oldest);
    }
    known.insert(issuer.to_owned(), new);
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.with(|known| known.keys().cloned().collect::<Vec<_>>())).finish()
    }
}

/// Reads an issuer: `https` without user, query and fragment, in at most 600 bytes. `http` will do on loopback, where an
/// issuer of a test stands beside this stand-in; Automation Cloud takes `https` alone.
pub fn permitted(issuer: &str) -> Result<Url, Unusable> {
    let url = Url::parse(issuer).ok().filter(|_| issuer.len() <= LONGEST).ok_or(Unusable::NotHttps)?;
    let bare = url.username().is_empty() && url.password().is_none();
    let bare = bare && url.query().is_none() && url.fragment().is_none() && !issuer.contains(char::is_whitespace);
    let safe = url.scheme() == "https" || (url.scheme() == "http" && on_loopback(&url));
    if bare && safe { Ok(url) } else { Err(Unusable::NotHttps) }
}

fn on_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests;
