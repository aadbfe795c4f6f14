//! The kinds of `extapp.dev/v1alpha1`, one a file: types, rules and columns. No input or output happens here.
//!
//! The doc comments of the fields are the users' manual: `kubectl explain` prints them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

pub mod api_resource;
pub mod authorization_server;
pub mod common;
pub mod credentials;
pub mod external_application;
pub mod role_assignment;
pub mod rotation;
pub mod settings;

pub use api_resource::{ApiResource, ApiResourceSpec, ApiResourceStatus};
pub use authorization_server::{AuthorizationServer, AuthorizationServerSpec, AuthorizationServerStatus};
pub use external_application::{ExternalApplication, ExternalApplicationSpec, ExternalApplicationStatus};
pub use role_assignment::{RoleAssignment, RoleAssignmentSpec, RoleAssignmentStatus};

/// The API group of every kind here, and the prefix of every annotation and label.
pub const GROUP: &str = "extapp.dev";

/// Set to `true` on an object that is being deleted: stop waiting for its server.
pub const ABANDON: &str = "extapp.dev/abandon";

/// The intent to register, recorded before the server is asked. Written by the operator alone.
pub const PENDING: &str = "extapp.dev/pending";

/// On a Secret that the operator did not make: the name of the application, in the same namespace, that it is given to. An
/// application that adopts a registration takes such a Secret over, with the client secret that is in it.
pub const GIVEN_TO: &str = "extapp.dev/given-to";

/// Set to `true` on an AuthorizationServer: its registrations are gone for good, and are to be made again.
pub const RECREATE: &str = "extapp.dev/recreate";

/// Any new value has the secret replaced now: by another one beside it, proven and published before the old one goes. On an
/// AuthorizationServer: the operator's own.
pub const ROTATE: &str = "extapp.dev/rotate";

/// Any new value has the secret before the current one published again, while it is still valid.
pub const ROLLBACK: &str = "extapp.dev/rollback";

/// Any new value has the secret replaced at once, and every one before it removed at the server: it has leaked.
pub const REVOKE_NOW: &str = "extapp.dev/revoke-now";

/// On the Secret of the operator's own credentials: that they are being replaced. Written by the operator alone.
pub const ROTATING: &str = "extapp.dev/rotating";

/// On the same: what the operator put there last. Written by the operator alone.
pub const ROTATED: &str = "extapp.dev/rotated";

/// The definitions of every kind, in the order in which they are printed and installed.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![
        finished(AuthorizationServer::crd()),
        finished(ExternalApplication::crd()),
        finished(RoleAssignment::crd()),
        finished(ApiResource::crd()),
    ]
}

/// What the derive cannot say. A new object has `status.observedGeneration: -1`, so that tools which follow kstatus do
/// not take an object that nobody has looked at for a current one. And nothing is nullable: a null in a manifest is the
/// same as a field that is not there.
fn finished(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else {
            continue;
        };
        without_nullable(schema);
        if let Some(status) = schema.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            status.default = Some(JSON(json!({"observedGeneration": -1})));
        }
    }
    definition
}

fn without_nullable(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        without_nullable(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        without_nullable(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        without_nullable(values);
    }
}

#[cfg(test)]
mod tests;
