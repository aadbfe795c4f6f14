//! What this process knows of the tenants behind one server. Many assignments share what one of them has read, its failure
//! too, so that neither folders nor assignments cost a request each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};

use super::servers::Connection;
use crate::clock::Clock;
use crate::domain::capabilities::PermissionScope;
use crate::domain::registration::PrincipalId;
use crate::domain::tenant::{FolderId, Member, Tenant};
use crate::server::{About, AuthorizationServer as _, Lane, Permissions as _, ServerError};

/// What was read may be this old: many assignments that are applied together share it.
const FRESH: SignedDuration = SignedDuration::from_secs(10);
/// For how long a tenant that failed is not asked again.
const CLOSED: SignedDuration = SignedDuration::from_secs(5);
/// How long the members of a folder are kept that nobody asks about.
const KEPT: SignedDuration = SignedDuration::from_mins(30);
/// How many folders are read at once for one assignment.
const ABREAST: usize = 8;

/// Every tenant that was asked about, by name.
pub struct Tenants {
    known: Mutex<HashMap<String, Arc<Known>>>,
    /// When each assignment (by UID) was last compared.
    compared: Mutex<HashMap<String, Timestamp>>,
    clock: Clock,
}

type Slot<T> = tokio::sync::Mutex<Option<Read<T>>>;

/// One tenant. Whoever reads it has the others wait, and then they share what was read.
#[derive(Default)]
struct Known {
    tenant: Slot<Tenant>,
    members: Mutex<BTreeMap<FolderId, Arc<Slot<Vec<Member>>>>>,
    /// When this process last changed something for a principal: for that one, what was read before is too old.
    changed: Mutex<HashMap<PrincipalId, Timestamp>>,
}

/// What was read, and when.
struct Read<T> {
    asked: Timestamp,
    answered: Timestamp,
    value: Result<Arc<T>, ServerError>,
}

/// Whom to ask, about whom, and how new the answer must be.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub connection: &'a Connection,
    pub tenant: &'a str,
    /// The roles that are asked for, by name.
    pub roles: &'a BTreeSet<String>,
    pub principal: &'a PrincipalId,
    /// What was asked for before this is asked for again; `None`: the last seconds will do.
    pub since: Option<Timestamp>,
    pub lane: Lane,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    /// `arrived`: when the question was put. A failure serves those who waited for it, and for a while those who come
    /// after, but not where it only says that the one who asked may not ask more.
    fn serves<T>(&self, read: &Read<T>, question: &Question<'_>, arrived: Timestamp, now: Timestamp) -> bool {
        match &read.value {
            Err(ServerError::Budget { .. } | ServerError::RateLimited { .. }) => false,
            Err(_) => read.answered >= arrived || now.duration_since(read.answered) < CLOSED,
            Ok(_) => {
                let changed = locked(&self.changed).get(question.principal).copied();
                let new = question.since.map_or(read.answered >= now - FRESH, |since| read.asked >= since);
                new && changed.is_none_or(|at| read.asked > at)
            }
        }
    }
}

impl Tenants {
    pub fn new(clock: Clock) -> Self {
        Self { known: Mutex::default(), compared: Mutex::default(), clock }
    }

    fn of(&self, tenant: &str) -> Arc<Known> {
        locked(&self.known).entry(tenant.to_owned()).or_default().clone()
    }

    /// Roles, folders and applications of a tenant; where a server tells only what it is asked, this is nobody else's.
    pub async fn tenant(&self, question: Question<'_>) -> Result<Arc<Tenant>, ServerError> {
        let client = &question.connection.client;
        let about = About { principal: question.principal, roles: question.roles };
        let read = client.tenant(question.tenant, about, question.lane);
        if client.capabilities().permissions == PermissionScope::Roles {
            return read.await.map(Arc::new);
        }
        let known = self.of(question.tenant);
        self.shared(&known, &known.tenant, question, read).await
    }

    /// Who is assigned to each of these folders. A folder that is gone has nobody.
    pub async fn members(
        &self,
        question: Question<'_>,
        folders: impl IntoIterator<Item = FolderId>,
    ) -> Result<BTreeMap<FolderId, Arc<Vec<Member>>>, ServerError> {
        let known = self.of(question.tenant);
        let one = async |folder: FolderId| {
            let slot = locked(&known.members).entry(folder).or_default().clone();
            let read = async {
                match question.connection.client.members(question.tenant, folder, question.lane).await {
                    Err(ServerError::NotFound) => Ok(Vec::new()),
                    other => other,
                }
            };
            self.shared(&known, &slot, question, read).await.map(|members| (folder, members))
        };
        let folders: Vec<FolderId> = folders.into_iter().collect();
        let reads = futures::stream::iter(folders).map(one).buffer_unordered(ABREAST);
        reads.collect::<Vec<_>>().await.into_iter().collect()
    }

    async fn shared<T>(
        &self,
        known: &Known,
        slot: &Slot<T>,
        question: Question<'_>,
        read: impl Future<Output = Result<T, ServerError>>,
    ) -> Result<Arc<T>, ServerError> {
        let arrived = self.clock.now();
        let mut slot = slot.lock().await;
        if let Some(read) = slot.as_ref().filter(|read| known.serves(read, &question, arrived, self.clock.now())) {
            return read.value.clone();
        }
        let asked = self.clock.now();
        let value = read.await.map(Arc::new);
        *slot = Some(Read { asked, answered: self.clock.now(), value: value.clone() });
        value
    }

    /// Something is changed for a principal from now until this is dropped, whatever becomes of it.
    pub fn changing(&self, tenant: &str, principal: &PrincipalId) -> Changing<'_> {
        let changing = Changing { tenants: self, tenant: tenant.to_owned(), principal: principal.clone() };
        changing.mark();
        changing
    }

    /// Notes that an assignment was compared with its tenant.
    pub fn compared(&self, uid: &str) {
        locked(&self.compared).insert(uid.to_owned(), self.clock.now());
    }

    pub fn last_compared(&self, uid: &str) -> Option<Timestamp> {
        locked(&self.compared).get(uid).copied()
    }

    /// Forgets what nobody speaks of any more.
    pub fn retain(&self, named: impl Fn(&str) -> bool, there: impl Fn(&str) -> bool) {
        let old = self.clock.now() - KEPT;
        let mut known = locked(&self.known);
        known.retain(|tenant, _| named(tenant));
        for tenant in known.values() {
            let used = |slot: &Arc<Slot<Vec<Member>>>| {
                slot.try_lock().map_or(true, |read| read.as_ref().is_some_and(|read| read.answered > old))
            };
            locked(&tenant.members).retain(|_, slot| used(slot));
        }
        locked(&self.compared).retain(|uid, _| there(uid));
    }
}

/// A change under way. What was read before its end is too old for its principal.
pub struct Changing<'a> {
    tenants: &'a Tenants,
    tenant: String,
    principal: PrincipalId,
}

impl Changing<'_> {
    fn mark(&self) {
        let now = self.tenants.clock.now();
        let known = self.tenants.of(&self.tenant);
        let mut changed = locked(&known.changed);
        changed.retain(|_, at| now.duration_since(*at) < FRESH * 2);
        changed.insert(self.principal.clone(), now);
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.mark();
    }
}
