//! The requests of the management API: what is the same about each of them, whoever asks.

use super::super::budget::Class;
use super::super::http::BODY_LIMIT;

/// Automation Cloud lists every registration of the organization in one answer.
const LIST_LIMIT: usize = 8 << 20;

const READ: &str = "PM.OAuthApp or PM.OAuthApp.Read";
const WRITE: &str = "PM.OAuthApp or PM.OAuthApp.Write";
const WRITE_SECRET: &str = "PM.OAuthApp, PM.OAuthApp.Write or PM.OAuthAppSecret.Write";

/// One kind of request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) template: &'static str,
    pub(super) class: Class,
    /// What a 403 says to give the operator's application.
    pub(super) needed: &'static str,
    /// Whether a 404 is about a registration. Otherwise it is about the address.
    pub(super) names_registration: bool,
    /// Whether doing it twice makes two: then it is sent once, and an answer that is lost leaves the outcome unknown.
    pub(super) creates: bool,
    pub(super) limit: usize,
}

pub(super) const LIST: Operation =
    Operation { limit: LIST_LIMIT, ..read("list", "/api/ExternalClient/{organization}", false) };
pub(super) const GET: Operation = read("get", "/api/ExternalClient/{organization}/{client}", true);
pub(super) const CATALOGUE: Operation = read("catalogue", "/api/ExternalApiResource", false);
pub(super) const DISCOVERY: Operation = read("discovery", "/.well-known/openid-configuration", false);
pub(super) const TOKEN: Operation = write("token", Class::Post, "/connect/token", false);
pub(super) const CREATE: Operation =
    Operation { creates: true, ..write("create", Class::Post, "/api/ExternalClient", false) };
pub(super) const UPDATE: Operation = write("update", Class::Put, "/api/ExternalClient/{organization}/{client}", true);
pub(super) const DELETE: Operation =
    write("delete", Class::Delete, "/api/ExternalClient/{organization}/{client}", true);
pub(super) const ADD_SECRET: Operation = Operation {
    needed: WRITE_SECRET,
    creates: true,
    ..write("add_secret", Class::Post, "/api/ExternalClient/GenerateSecret", true)
};
pub(super) const REMOVE_SECRET: Operation = Operation {
    needed: WRITE_SECRET,
    ..write("remove_secret", Class::Delete, "/api/ExternalClient/{organization}/secrets/{secret}", true)
};

const fn read(name: &'static str, template: &'static str, names_registration: bool) -> Operation {
    Operation { name, template, class: Class::Get, needed: READ, names_registration, creates: false, limit: BODY_LIMIT }
}

const fn write(name: &'static str, class: Class, template: &'static str, names_registration: bool) -> Operation {
    Operation { name, template, class, needed: WRITE, names_registration, creates: false, limit: BODY_LIMIT }
}
