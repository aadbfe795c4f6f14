//! What every authorization server must be to an operator, tried on the real thing: the same cases for all of them.
//!
//! A server joins with a [`Stage`] and one line of `contract!`. Faults happen in a gate between the backend and the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use extapp::api::AuthorizationServerSpec;
use extapp::clock::Clock;
use extapp::domain::federation::Trust;
use extapp::domain::registration::{ClientId, ClientType, Desired, Grant, Owner, Scope, Settings};
use extapp::server::any::{AnyServer, Credentials, Parts};
use extapp::server::budget::BudgetRegistry;
use extapp::server::http::{Timeouts, Transport, Unobserved};
use extapp::server::registration::Records;
use serde_json::Value;

use crate::support::error::{Context, Result};
use crate::support::gate::Gate;
use crate::support::vault::Memory;

mod cases;
mod hydra;
mod keycloak;
mod own_key;
mod registration;
mod uipath;

/// One real server, with a gate before it, and what the cases need to know of it.
pub trait Stage: Sized {
    /// Starts the server, or takes the one that runs.
    async fn set() -> Result<Self>;
    /// The backend, whose requests all pass the gate.
    fn server(&self) -> &AnyServer;
    fn gate(&self) -> &Gate;
    /// The request that creates a registration: its method, and a part of its path that no other one of this method has.
    fn create(&self) -> (Method, &'static str);
    /// The same of the request that reads this registration.
    fn read(&self, id: &ClientId) -> (Method, String);
    /// A scope that can be had under both grants, and another one.
    fn scopes(&self) -> [&'static str; 2];
    /// Whether the server itself refuses a scope that it does not know.
    fn refuses_unknown_scopes(&self) -> bool;
    /// Where the server believes to be, if that is not where the backend finds it: what is meant for it says so.
    fn own_url(&self) -> Option<String> {
        None
    }
    /// Makes a registration of this name without the backend, as a person would.
    async fn by_hand(&self, name: &str) -> Result<ClientId>;
    /// A registration as the server's own administrator sees it; `Null` where there is none.
    async fn seen(&self, id: &ClientId) -> Result<Value>;
    /// Sets something at the server that the backend has no business with, and gives back a pointer to it and its value.
    /// `None` where a registration has nothing of the kind.
    async fn touch(&self, id: &ClientId) -> Result<Option<(&'static str, Value)>>;
    /// Two issuers, audiences and subjects that the server can be told to trust; `None` where it takes no tokens of others.
    async fn trusts(&self) -> Result<Option<[Trust; 2]>> {
        Ok(None)
    }
}

/// Makes a backend as the operator does.
pub fn build(spec: Value, credentials: &[(&str, &str)]) -> Result<AnyServer> {
    build_over(spec, credentials, &Arc::default())
}

/// The same with these records of registrations.
pub fn build_over(spec: Value, credentials: &[(&str, &str)], vault: &Arc<Memory>) -> Result<AnyServer> {
    let spec: AuthorizationServerSpec = serde_json::from_value(spec)?;
    let credentials: BTreeMap<_, _> =
        credentials.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned().into())).collect();
    let parts = Parts {
        credentials: Credentials(credentials),
        transport: Transport {
            ca_pem: None,
            insecure_hosts: Vec::new(),
            timeouts: Timeouts { connect: Duration::from_secs(3), total: Duration::from_secs(10) },
            clock: Clock::system(),
            observer: Arc::new(Unobserved),
        },
        budgets: &BudgetRegistry::default(),
        requests_per_minute: None,
        records: Arc::new(Records::new(Arc::clone(vault) as _)),
    };
    Ok(AnyServer::build(&spec, parts).context("a backend")?.0)
}

/// A name that no other registration has.
pub fn unique(prefix: &str) -> String {
    format!("{prefix} {}", extapp::clock::random_id())
}

/// A confidential application with one application scope.
pub fn desired(name: &str, scope: &str) -> Desired {
    Desired {
        display_name: name.into(),
        client_type: ClientType::Confidential,
        redirect_uris: [].into(),
        scopes: [Scope { name: scope.into(), grant: Grant::Application }].into(),
        settings: Settings::new(),
        secretless: false,
        owner: Owner { uid: extapp::clock::random_id(), namespace: "team".into(), name: "invoices".into() },
    }
}

/// Whether a credential gets a token for itself, in whichever way the server takes it. Nothing but a refusal is a no.
pub async fn authenticates(server: &AnyServer, id: &ClientId, secret: &str, scope: &str) -> Result<bool> {
    use extapp::server::{AuthorizationServer as _, Lane};
    let endpoint = server.endpoints(Lane::User).await?.token_endpoint;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let grant = [("grant_type", "client_credentials"), ("scope", scope)];
    let basic = http.post(&endpoint).basic_auth(form(id.as_str()), Some(form(secret))).form(&grant).send().await?;
    if basic.status().is_success() {
        return Ok(true);
    }
    let in_body = [("client_id", id.as_str()), ("client_secret", secret)];
    let post = http.post(&endpoint).form(&[&grant[..], &in_body[..]].concat()).send().await?;
    if post.status().is_success() {
        return Ok(true);
    }
    let (status, text) = (post.status(), post.text().await?);
    let refused = text.contains("invalid_client") || text.contains("unauthorized_client");
    if refused { Ok(false) } else { Err(crate::support::Error::new(format!("the token endpoint: {status} {text}"))) }
}

/// RFC 6749 section 2.3.1: both halves are encoded as in a form before they are put together.
fn form(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Every case, for one server.
macro_rules! contract {
    ($stage:ty) => {
        $crate::contract::contract!($stage:
            what_is_created_is_what_is_read,
            an_application_without_a_secret_never_gets_one,
            an_update_twice_is_an_update_once_and_keeps_the_secret,
            what_is_deleted_is_gone_and_may_be_deleted_again,
            the_secret_is_shown_once_and_works_until_it_is_replaced_or_removed,
            a_create_whose_answer_is_lost_is_found_again_exactly,
            a_scope_that_nobody_knows_is_refused_for_certain_where_the_server_knows_its_scopes,
            every_page_of_a_long_list_is_read,
            a_server_that_limits_requests_is_told_apart_and_not_asked_again,
            a_server_that_does_not_answer_in_time_leaves_a_create_unknown,
            a_server_that_fails_leaves_a_create_unknown,
            two_changes_at_once_end_as_one_of_them_and_leave_the_rest_alone,
            what_is_not_ours_is_not_touched,
            an_application_that_signs_has_no_secret_and_its_keys_are_replaced_by_others,
            an_application_goes_from_a_secret_to_a_key_and_back_and_no_old_secret_comes_back,
            federated_credentials_are_told_by_name_and_the_answer_to_a_new_one_may_be_lost,
        );
    };
    ($stage:ty: $($case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() -> $crate::support::Result<()> {
                $crate::contract::cases::$case::<$stage>().await
            }
        )*
    };
}
pub(crate) use contract;
