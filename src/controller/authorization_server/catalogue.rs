//! The server's catalogue as objects that people can look at.

use std::sync::Arc;

use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use crate::api::{ApiResource, AuthorizationServer, ExternalApplication};
use crate::controller::Context;
use crate::controller::application::Error;
use crate::controller::changes;
use crate::controller::events::Tone;
use crate::controller::kubernetes::{CATALOGUE, is_conflict, is_not_found};
use crate::controller::servers::{Server, finding};
use crate::domain::capabilities::CatalogueSource;
use crate::domain::catalogue::{enforced, merged};
use crate::domain::observed::{Finding, ServerFacts};
use crate::domain::reason::Reason;
use crate::domain::registration::Catalogue;
use crate::domain::server_status::{catalogue_changes, catalogue_objects, is_ours, resource_status};
use crate::domain::validate::desired;
use crate::server::{AuthorizationServer as _, Lane, ManagedCatalogue as _, ServerError};

/// Makes the objects show the catalogue: new, changed and removed resources.
pub async fn publish(object: &AuthorizationServer, catalogue: &Catalogue, ctx: &Context) -> Result<(), Error> {
    let present = declared(object, ctx);
    let there: Vec<&ApiResource> = present.iter().map(Arc::as_ref).collect();
    let changes = catalogue_changes(object, &catalogue_objects(object, catalogue), &there);
    let api: Api<ApiResource> = Api::namespaced(ctx.client.clone(), &object.namespace().unwrap_or_default());
    for wanted in &changes.apply {
        let body = json!({
            "apiVersion": ApiResource::api_version(&()), "kind": ApiResource::kind(&()),
            "metadata": wanted.metadata, "spec": wanted.spec
        });
        ctx.metrics.wrote("ApiResource", "catalogue");
        let parameters = PatchParams::apply(CATALOGUE).force();
        let written = api.patch(&wanted.name_any(), &parameters, &Patch::Apply(&body)).await?;
        tell(object, &written, ctx).await?;
    }
    for (name, uid) in &changes.remove {
        let preconditions = Some(Preconditions { uid: Some(uid.clone()), resource_version: None });
        ctx.metrics.wrote("ApiResource", "catalogue");
        match api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Err(error) if !is_not_found(&error) && !is_conflict(&error) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// What is known of a server, with what is declared for it.
pub fn completed(facts: ServerFacts, own: &Catalogue, object: &AuthorizationServer, ctx: &Context) -> ServerFacts {
    let objects = declared(object, ctx);
    let others = objects.iter().map(Arc::as_ref).filter(|resource| !is_ours(object, resource));
    let catalogue = merged(own, others, &facts.capabilities).into();
    ServerFacts { catalogue, ..facts }
}

/// Has the server offer what is declared with management Enforce: at each sweep, and when something else is declared.
/// Gives back what stands in the way of all of it.
pub async fn enforce(object: &AuthorizationServer, server: &Server, swept: bool, ctx: &Context) -> Option<Finding> {
    let connection = server.connection()?;
    if connection.client.capabilities().catalogue != CatalogueSource::Managed {
        return None;
    }
    let objects = declared(object, ctx);
    let wanted = enforced(objects.iter().map(Arc::as_ref).filter(|resource| !is_ours(object, resource)));
    let digest = changes::digest(&format!("{wanted:?}"));
    if !swept && server.was_offered(digest) {
        return None;
    }
    let lane = if server.was_offered(digest) { Lane::Resync } else { Lane::User };
    // What an application still asks for stays, so that it can go on until it says something else.
    let applications = ctx.applications_of(&server.key);
    let asked = applications.iter().flat_map(|app| desired(app).scopes).map(|scope| scope.name).collect();
    let owner = object.metadata.uid.as_deref().unwrap_or_default();
    match connection.client.enforce(&wanted, &asked, owner, lane).await {
        Ok(obstacles) => {
            server.offers(digest, obstacles);
            None
        }
        // It can wait for the next sweep.
        Err(ServerError::Budget { .. } | ServerError::RateLimited { .. }) if lane == Lane::Resync => None,
        Err(error) => {
            let found = finding(&error);
            let message = format!("what is declared could not be brought to the server: {}", found.message);
            let found = Finding { message, ..found };
            let obstacles = wanted.into_iter().map(|resource| (resource.object, found.clone())).collect();
            // Nothing was brought about: it is tried again.
            server.offers(0, obstacles);
            Some(found)
        }
    }
}

/// The objects that name this server, its own and others.
fn declared(object: &AuthorizationServer, ctx: &Context) -> Vec<Arc<ApiResource>> {
    let (name, namespace) = (object.name_any(), object.namespace());
    let names_it =
        |resource: &Arc<ApiResource>| resource.namespace() == namespace && resource.spec.server_ref.name == name;
    ctx.resources.state().into_iter().filter(names_it).collect()
}

/// Brings the status of every object that names this server up to date.
pub async fn tell_all(object: &AuthorizationServer, ctx: &Context) -> Result<(), Error> {
    for resource in declared(object, ctx) {
        tell(object, &resource, ctx).await?;
    }
    Ok(())
}

async fn tell(object: &AuthorizationServer, resource: &ApiResource, ctx: &Context) -> Result<(), Error> {
    let uses = |app: &Arc<ExternalApplication>| {
        app.spec.resources.iter().any(|requested| requested.name == resource.spec.identifier)
    };
    let server = ctx.servers.get(&super::key_of(object));
    let Some(facts) = server.facts() else { return Ok(()) };
    let applications = ctx.applications_of(&server.key).iter().filter(|app| uses(app)).count();
    let source = facts.capabilities.catalogue;
    let obstacle = server.obstacle(&resource.uid().unwrap_or_default());
    let status = resource_status(object, resource, source, obstacle.as_ref(), applications, ctx.now());
    let Some(status) = status else { return Ok(()) };
    if source == CatalogueSource::Own
        && !is_ours(object, resource)
        && resource.status.as_ref().is_none_or(|status| status.conditions.is_empty())
    {
        let note = "this server has a catalogue of its own, and what is declared here is not used";
        ctx.events.publish(resource, Tone::Warning, Reason::CatalogueNotDeclarable, note);
    }
    match ctx.kubernetes().status(resource, &status, None).await {
        Err(error) if !is_not_found(&error) => Err(error.into()),
        _ => Ok(()),
    }
}
