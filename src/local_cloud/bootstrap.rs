//! What a data file gets at its first start: an organization, a signing key, an administrator and tenants.

use std::path::Path;

use rusqlite::Connection;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::catalogue::{Catalogue, ScopeType};
use super::clock::{self, Clock};
use super::cloud::Organization;
use super::config::SigningAlgorithm;
use super::credentials::{self, Found};
use super::keys::{self, SigningKeys};
use super::orchestrator::seed::{self, DEFAULT_TENANT, TENANT_ADMINISTRATOR};
use super::secrets::{self, SecretHash};
use super::store::applications::{self, NewApplication, NewSecret, Registration};
use super::store::orchestrator::{self, Tenant, directory, roles, users};
use super::store::{Store, StoreError, settings};
use super::{AdministratorCredentials, Error};

/// Whether a name can stand in a URL as it is, and is nothing else there.
fn fits_a_url(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !name.is_empty() && name != "identity_" && name.chars().all(allowed)
}

/// Reads the organization, or makes it.
pub async fn organization(store: &Store, name: &str) -> Result<Organization, Error> {
    if !fits_a_url(name) {
        return Err(Error::OrganizationName { name: name.to_owned() });
    }
    let (id, wanted) = (clock::random_uuid()?, name.to_owned());
    let stored = store
        .write(move |store| {
            if settings::organization(store)?.is_none() {
                settings::set_organization(store, &wanted, &id.to_string())?;
            }
            settings::organization(store)?.ok_or(StoreError::Damaged { what: "organization" })
        })
        .await?;
    if stored.0 != name {
        return Err(Error::OtherOrganization { stored: stored.0, wanted: name.to_owned() });
    }
    let id = Uuid::parse_str(&stored.1).map_err(|_| StoreError::Damaged { what: "organization" })?;
    Ok(Organization { name: stored.0, id })
}

/// Reads the signing keys; makes the one for `algorithm` if it is missing.
pub async fn signing_keys(store: &Store, algorithm: SigningAlgorithm) -> Result<SigningKeys, Error> {
    let mut stored = store.read(settings::signing_keys).await?;
    if !stored.iter().any(|(name, _)| name == algorithm.name()) {
        let pem = tokio::task::spawn_blocking(move || keys::generate_pem(algorithm)).await.map_err(Error::task)??;
        stored = store
            .write(move |store| {
                settings::add_signing_key(store, algorithm.name(), pem.expose_secret())?;
                settings::signing_keys(store)
            })
            .await?;
    }
    let stored: Vec<_> = stored.into_iter().map(|(name, pem)| (name, SecretString::from(pem))).collect();
    Ok(SigningKeys::read(&stored, algorithm)?)
}

/// Makes the administrator client if there is none, and gives its credentials out if `path` asks for them.
///
/// A secret is only made for a file it is written to. If the process dies between the two, the secret stays behind
/// as a hash that nobody can use, and the next start makes another.
pub async fn administrator(
    store: &Store,
    clock: &Clock,
    catalogue: &Catalogue,
    path: Option<&Path>,
) -> Result<AdministratorCredentials, Error> {
    let existing = store.read(applications::administrator).await?;
    let found = path.map(|path| credentials::find(path, existing.as_deref())).transpose()?;
    let secret = match found {
        None | Some(Found::These) => None,
        Some(Found::Nothing | Found::Others) => Some(secrets::generate()?),
    };
    let kept = secret.as_ref().map(|secret| NewSecret {
        description: Some("given out by --credentials-out".to_owned()),
        hash: SecretHash::of(secret),
        created: clock.now_milliseconds(),
        expires: None,
    });
    let first = existing.is_none();
    let id = match existing {
        Some(id) => {
            if let Some(kept) = kept {
                let id = id.clone();
                store.write(move |store| applications::add_secret(store, &id, &kept)).await?;
            }
            id
        }
        None => make_administrator(store, catalogue, kept).await?,
    };
    let (Some(path), Some(secret)) = (path, secret) else {
        return Ok(if path.is_some() { AdministratorCredentials::Kept } else { AdministratorCredentials::NotAsked });
    };
    let (target, client_id) = (path.to_owned(), id);
    tokio::task::spawn_blocking(move || credentials::write(&target, &client_id, &secret))
        .await
        .map_err(Error::task)??;
    Ok(if first { AdministratorCredentials::Written } else { AdministratorCredentials::Renewed })
}

/// Makes the tenants that are missing, and sees to it that the administrator client administers every one of them:
/// scopes alone do not show it the folders.
pub async fn tenants(store: &Store, clock: &Clock, further: &[String]) -> Result<Vec<Tenant>, Error> {
    if let Some(name) = further.iter().find(|name| !fits_a_url(name)) {
        return Err(Error::TenantName { name: name.clone() });
    }
    let mut wanted = Vec::new();
    for name in std::iter::once(DEFAULT_TENANT).chain(further.iter().map(String::as_str)) {
        let keys = [clock::random_uuid()?.to_string(), clock::random_uuid()?.to_string()];
        wanted.push((name.to_owned(), keys));
    }
    let now = clock.now_milliseconds();
    let tenants = store
        .write(move |store| {
            for (name, keys) in &wanted {
                let known = orchestrator::tenants(store)?;
                if !known.iter().any(|tenant| tenant.name.eq_ignore_ascii_case(name)) {
                    seed::tenant(store, name, keys)?;
                }
            }
            let tenants = orchestrator::tenants(store)?;
            for tenant in &tenants {
                administer(store, tenant, now)?;
            }
            Ok(tenants)
        })
        .await?;
    Ok(tenants)
}

fn administer(store: &Connection, tenant: &Tenant, now: i64) -> Result<(), StoreError> {
    let Some(client) = applications::administrator(store)? else { return Ok(()) };
    let Some(id) = directory::of_client(store, &client)? else { return Ok(()) };
    let Some(principal) = directory::find(store, &id)? else { return Ok(()) };
    if users::of_principal(store, tenant.id, &id)?.is_none() {
        let user = users::insert(store, tenant.id, (&id, principal.kind, &principal.name), now)?;
        let role = roles::by_name(store, tenant.id, TENANT_ADMINISTRATOR)?;
        users::set_roles(store, user, &role.map(|role| role.id).into_iter().collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The administrator may do everything that an application can do by itself.
async fn make_administrator(store: &Store, catalogue: &Catalogue, secret: Option<NewSecret>) -> Result<String, Error> {
    let scopes = catalogue.names_allowing(ScopeType::Application);
    let registration = Registration {
        name: "Administrator of extapp local-cloud".to_owned(),
        redirect_uri: None,
        scopes: scopes.map(|name| (name.to_owned(), ScopeType::Application)).collect(),
    };
    let id = clock::random_uuid()?.to_string();
    let directory_id = clock::random_uuid()?.to_string();
    let new =
        NewApplication { id: id.clone(), directory_id, confidential: true, administrator: true, registration, secret };
    store.write(move |store| applications::insert(store, &new)).await?;
    Ok(id)
}
