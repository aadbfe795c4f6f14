//! The authorization servers that this process talks to: one connection pool each, shared by all applications.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use futures::channel::mpsc::UnboundedSender;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use super::tenants::Tenants;
use super::turns::Turns;
use crate::api::{AuthorizationServer, ExternalApplication, RoleAssignment};
use crate::clock::Clock;
use crate::domain::catalogue::Obstacles;
use crate::domain::observed::{Finding, ServerFacts, ServerSeen};
use crate::domain::reason::Reason;
use crate::domain::registration::{Catalogue, ClientId, Listed};
use crate::domain::rotation::kept::Seal;
use crate::domain::rotation::pacing::Pacing;
use crate::server::budget::Budget;
use crate::server::registration::Records;
use crate::server::{AnyServer, AuthorizationServer as _, Lane, ServerError};

mod failures;
mod listing;
pub mod own;

use listing::Listing;

pub use failures::{concerns_everybody, finding};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The namespace and name of an AuthorizationServer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerKey {
    pub namespace: String,
    pub name: String,
}

impl ServerKey {
    pub fn reference(&self) -> ObjectRef<AuthorizationServer> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

impl std::fmt::Display for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A client that was made from one version of spec, credentials and certificates.
pub struct Connection {
    pub client: AnyServer,
    /// Changes when the spec or the certificates do.
    pub place: String,
    /// Changes when the credentials do, too.
    pub fingerprint: String,
}

impl Connection {
    /// Whether the operator itself authenticates with this.
    pub fn is_own(&self, id: &ClientId) -> bool {
        self.client.own_client_id() == Some(id)
    }
}

/// All that is known of one server in this process.
pub struct Server {
    pub key: ServerKey,
    connection: RwLock<Option<Arc<Connection>>>,
    facts: RwLock<Option<ServerFacts>>,
    /// What the server itself says may be asked for.
    own_catalogue: Mutex<Option<Arc<Catalogue>>>,
    /// What the server was last made to offer, and why it does not offer all of it.
    enforced: Mutex<Option<(u64, Arc<Obstacles>)>>,
    trouble: Mutex<Option<Finding>>,
    /// The trouble that applications were last woken for.
    announced: Mutex<Option<Finding>>,
    tried: AtomicBool,
    swept: Mutex<Option<(Timestamp, Option<i64>)>>,
    terms: Mutex<Option<u64>>,
    said: Mutex<Option<(String, String)>>,
    budget: Mutex<Option<Arc<Budget>>>,
    /// What is kept of registrations, for the object with this UID.
    records: Mutex<Option<(String, Arc<Records>)>>,
    /// Which registration belongs to which application (by UID), before any status says so.
    claims: Mutex<HashMap<ClientId, String>>,
    listing: tokio::sync::Mutex<Option<Listing>>,
    /// Which applications may begin to replace their secrets.
    rotations: Mutex<Pacing>,
    clock: Clock,
    /// When each registration was last read in full.
    pub read_at: Mutex<BTreeMap<ClientId, Timestamp>>,
    /// Bounds how many passes may talk to this server at once, so that one that hangs does not hold up the others.
    pub turns: Turns<ExternalApplication>,
    /// The same for those that permit.
    pub permit_turns: Turns<RoleAssignment>,
    /// What is known of the tenants behind this server.
    pub tenants: Tenants,
    /// What is known of the operator's own credentials.
    pub own: own::Own,
}

impl Server {
    fn new(
        key: ServerKey,
        turns: Turns<ExternalApplication>,
        permit_turns: Turns<RoleAssignment>,
        clock: Clock,
    ) -> Self {
        Self {
            key,
            connection: RwLock::default(),
            facts: RwLock::default(),
            own_catalogue: Mutex::default(),
            enforced: Mutex::default(),
            trouble: Mutex::default(),
            announced: Mutex::default(),
            tenants: Tenants::new(clock.clone()),
            clock,
            tried: AtomicBool::new(false),
            swept: Mutex::default(),
            terms: Mutex::default(),
            said: Mutex::default(),
            budget: Mutex::default(),
            records: Mutex::default(),
            claims: Mutex::default(),
            listing: tokio::sync::Mutex::default(),
            rotations: Mutex::default(),
            read_at: Mutex::default(),
            turns,
            permit_turns,
            own: own::Own::default(),
        }
    }

    /// Who may begin a rotation.
    pub fn rotations(&self) -> MutexGuard<'_, Pacing> {
        locked(&self.rotations)
    }

    pub fn connection(&self) -> Option<Arc<Connection>> {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets applications use a connection: only one whose server was seen to be the right one. Gives back whether it is one
    /// with other credentials than before.
    pub fn connect(&self, connection: &Arc<Connection>) -> bool {
        let mut known = self.connection.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.replace(connection.clone());
        let replaced =
            |before: &Arc<Connection>| before.place == connection.place && before.fingerprint != connection.fingerprint;
        let Some(before) = before.filter(replaced) else { return false };
        self.own.replaced(before);
        true
    }

    /// Which of the operator's own credentials a seal was made with. `None`: there are none to make one with.
    pub fn judge(&self, text: &str, seal: &str) -> Option<Seal> {
        Some(self.own.judge(&self.connection()?.client.seal(text)?, text, seal))
    }

    /// Whether it was made with any of them.
    pub fn recognises(&self, text: &str, seal: &str) -> Option<bool> {
        self.judge(text, seal).map(|seal| seal != Seal::Foreign)
    }

    pub fn facts(&self) -> Option<ServerFacts> {
        self.facts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the server itself says may be asked for, which is not all where people declare the rest.
    pub fn own_catalogue(&self) -> Option<Arc<Catalogue>> {
        locked(&self.own_catalogue).clone()
    }

    pub fn has_catalogue(&self, catalogue: Arc<Catalogue>) {
        *locked(&self.own_catalogue) = Some(catalogue);
    }

    /// Records what the server was made to offer: a digest of what is declared, and what stands in the way.
    pub fn offers(&self, declared: u64, obstacles: Obstacles) {
        *locked(&self.enforced) = Some((declared, obstacles.into()));
    }

    /// Whether exactly this was enforced last.
    pub fn was_offered(&self, declared: u64) -> bool {
        locked(&self.enforced).as_ref().is_some_and(|(known, _)| *known == declared)
    }

    /// Why a declared object is not offered.
    pub fn obstacle(&self, object: &str) -> Option<Finding> {
        locked(&self.enforced).as_ref().and_then(|(_, obstacles)| obstacles.get(object).cloned())
    }

    /// Records when the server was compared, and for which generation of its spec.
    pub fn swept(&self, at: Timestamp, generation: Option<i64>) {
        *locked(&self.swept) = Some((at, generation));
    }

    pub fn swept_at(&self) -> Option<Timestamp> {
        locked(&self.swept).map(|(at, _)| at)
    }

    pub fn swept_generation(&self) -> Option<i64> {
        locked(&self.swept).and_then(|(_, generation)| generation)
    }

    /// Remembers the reason and the message that are now said of the server; those that were said before.
    pub fn said(&self, now: (String, String)) -> Option<(String, String)> {
        locked(&self.said).replace(now)
    }

    /// Whether the terms for applications are others than at the last pass.
    pub fn saw_terms(&self, digest: u64) -> bool {
        locked(&self.terms).replace(digest) != Some(digest)
    }

    pub fn in_trouble(&self) -> bool {
        locked(&self.trouble).is_some()
    }

    /// The budget that requests are counted against, for the metric.
    pub fn spend_from(&self, budget: Arc<Budget>) {
        *locked(&self.budget) = Some(budget);
    }

    pub fn budget(&self) -> Option<Arc<Budget>> {
        locked(&self.budget).clone()
    }

    /// The records of the object with this UID: the same for every connection.
    pub fn records(&self, uid: &str, new: impl FnOnce() -> Records) -> Arc<Records> {
        let mut records = locked(&self.records);
        if let Some((of, known)) = records.as_ref()
            && of == uid
        {
            return known.clone();
        }
        let new = Arc::new(new());
        *records = Some((uid.to_owned(), new.clone()));
        new
    }

    /// Records what a pass over the server found. Gives back whether applications should look again.
    pub fn settle(&self, facts: Option<ServerFacts>, trouble: Option<Finding>) -> bool {
        let first = !self.tried.swap(true, Ordering::AcqRel);
        let mut changed = first;
        if let Some(facts) = facts {
            let mut known = self.facts.write().unwrap_or_else(PoisonError::into_inner);
            let same = known.as_ref().is_some_and(|known| {
                known.endpoints == facts.endpoints
                    && known.catalogue == facts.catalogue
                    && known.own_client_id == facts.own_client_id
                    && known.organization_id == facts.organization_id
            });
            changed |= !same;
            *known = Some(facts);
        }
        changed |= *locked(&self.announced) != trouble;
        locked(&self.announced).clone_from(&trouble);
        *locked(&self.trouble) = trouble;
        changed
    }

    /// Whether this is the first sign of trouble at a server that was well: a second one is waited for before every
    /// application is told. Until then nobody new turns to the server.
    pub fn first_sign(&self, finding: &Finding) -> bool {
        let passing = matches!(finding.reason, Reason::ServerUnreachable | Reason::ServerTimeout);
        if !passing || self.facts().is_none() || self.in_trouble() {
            return false;
        }
        *locked(&self.trouble) = Some(finding.clone());
        true
    }

    /// What an application sees of the server.
    pub fn seen(&self) -> ServerSeen {
        if !self.tried.load(Ordering::Acquire) {
            return ServerSeen::NotTried;
        }
        if let Some(trouble) = locked(&self.trouble).clone() {
            return ServerSeen::Unusable(trouble);
        }
        match self.facts() {
            Some(facts) => ServerSeen::Usable(facts),
            None => ServerSeen::NotTried,
        }
    }

    /// Records a failure that concerns everybody who uses the server. Gives back whether it is news.
    pub fn report(&self, error: &ServerError) -> bool {
        if !concerns_everybody(error) {
            return false;
        }
        let mut trouble = locked(&self.trouble);
        let news = trouble.is_none();
        if news {
            *trouble = Some(finding(error));
        }
        news
    }

    /// Whether no other application has this registration; from now on it is this one's.
    pub fn claim(&self, id: &ClientId, uid: &str) -> bool {
        let mut claims = locked(&self.claims);
        claims.entry(id.clone()).or_insert_with(|| uid.to_owned()) == uid
    }

    /// The answer to its create gave this registration to an application: more than any claim.
    pub fn made(&self, id: &ClientId, uid: &str) {
        locked(&self.claims).insert(id.clone(), uid.to_owned());
    }

    pub fn claimant(&self, id: &ClientId) -> Option<String> {
        locked(&self.claims).get(id).cloned()
    }

    /// The registration that was claimed for an application.
    pub fn claimed_by(&self, uid: &str) -> Option<ClientId> {
        locked(&self.claims).iter().find(|(_, holder)| *holder == uid).map(|(id, _)| id.clone())
    }

    /// Forgets the claims of an application that is gone.
    pub fn release(&self, uid: &str) {
        locked(&self.claims).retain(|_, holder| holder != uid);
    }

    /// The server's list, asked for at the earliest at `not_before`; several who need it share one request, and its
    /// failure too: they do not wait for a server that hangs one after the other.
    pub async fn list(
        &self,
        connection: &Connection,
        not_before: Timestamp,
        lane: Lane,
    ) -> Result<Arc<Vec<Listed>>, ServerError> {
        let arrived = self.clock.now();
        let mut listing = self.listing.lock().await;
        if let Some(known) = listing.as_ref()
            && known.serves(not_before, arrived)
        {
            return known.result.clone();
        }
        let asked = self.clock.now();
        let result = connection.client.list(lane).await.map(Arc::new);
        *listing = Some(Listing { asked, answered: self.clock.now(), result: result.clone() });
        result
    }
}

/// Every server of this process.
pub struct Servers {
    known: RwLock<HashMap<ServerKey, Arc<Server>>>,
    turns: usize,
    wake: UnboundedSender<ObjectRef<ExternalApplication>>,
    wake_permits: UnboundedSender<ObjectRef<RoleAssignment>>,
    clock: Clock,
}

impl Servers {
    /// `turns`: how many passes of a kind may talk to one server at once. The other two have an object looked at.
    pub fn new(
        turns: usize,
        wake: UnboundedSender<ObjectRef<ExternalApplication>>,
        wake_permits: UnboundedSender<ObjectRef<RoleAssignment>>,
        clock: Clock,
    ) -> Self {
        Self { known: RwLock::default(), turns, wake, wake_permits, clock }
    }

    pub fn get(&self, key: &ServerKey) -> Arc<Server> {
        if let Some(server) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return server.clone();
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let turns = Turns::new(self.turns, self.wake.clone(), self.clock.clone());
            let permit_turns = Turns::new(self.turns, self.wake_permits.clone(), self.clock.clone());
            Arc::new(Server::new(key.clone(), turns, permit_turns, self.clock.clone()))
        };
        known.entry(key.clone()).or_insert_with(new).clone()
    }

    pub fn forget(&self, key: &ServerKey) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    pub fn all(&self) -> Vec<Arc<Server>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
