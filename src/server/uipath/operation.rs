//! The requests of UiPath's APIs: what is the same about each of them, whoever asks.

use super::super::budget::Class;
use super::super::http::BODY_LIMIT;

/// A service with scopes, and a count of requests, of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Identity Server: external applications and the directory.
    Identity,
    /// Orchestrator: folders, roles, and who has them.
    Orchestrator,
}

/// Automation Cloud lists every registration of the organization in one answer.
const LIST_LIMIT: usize = 8 << 20;

const READ: &str = "the scope PM.OAuthApp or PM.OAuthApp.Read";
const WRITE: &str = "the scope PM.OAuthApp or PM.OAuthApp.Write";
const WRITE_SECRET: &str = "the scope PM.OAuthApp, PM.OAuthApp.Write or PM.OAuthAppSecret.Write";

/// One kind of request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) service: Service,
    pub(super) name: &'static str,
    pub(super) template: &'static str,
    pub(super) class: Class,
    /// What a 403 says to give the operator's application.
    pub(super) needed: &'static str,
    /// Whether a 404 is about a thing that the request names. Otherwise it is about the address.
    pub(super) names_thing: bool,
    /// Whether such a 404 is believed only with the service's own error code: something in between may answer 404, too,
    /// and what is taken for gone is forgotten.
    pub(super) coded: bool,
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

const ALL_FEDERATED: &str = "/api/ExternalClient/{organization}/{client}/FederatedCredentials";
const ONE_FEDERATED: &str = "/api/ExternalClient/{organization}/{client}/FederatedCredentials/{credential}";

pub(super) const FEDERATED: Operation = read("federated", ALL_FEDERATED, true);
pub(super) const ADD_FEDERATED: Operation =
    Operation { creates: true, ..write("add_federated", Class::Post, ALL_FEDERATED, true) };
pub(super) const REPLACE_FEDERATED: Operation = write("replace_federated", Class::Put, ONE_FEDERATED, true);
pub(super) const REMOVE_FEDERATED: Operation = write("remove_federated", Class::Delete, ONE_FEDERATED, true);

const fn read(name: &'static str, template: &'static str, names_thing: bool) -> Operation {
    let service = Service::Identity;
    Operation {
        service,
        name,
        template,
        class: Class::Get,
        needed: READ,
        names_thing,
        coded: false,
        creates: false,
        limit: BODY_LIMIT,
    }
}

const fn write(name: &'static str, class: Class, template: &'static str, names_thing: bool) -> Operation {
    let service = Service::Identity;
    Operation {
        service,
        name,
        template,
        class,
        needed: WRITE,
        names_thing,
        coded: false,
        creates: false,
        limit: BODY_LIMIT,
    }
}

/// A tenant with thousands of folders or users comes in pages; no page is larger than this.
const PAGE_LIMIT: usize = 8 << 20;

const LOOK: &str = "the scopes OR.Default, OR.Folders.Read and OR.Users.Read, and a role in the tenant that allows Units.View, Roles.View and Users.View";
const PERMIT: &str = "the scopes OR.Default, OR.Folders and OR.Users, and a role in the tenant that allows Users.View, Users.Create, Users.Edit, Users.Delete, Roles.View, Units.View and Units.Edit";

/// Needs no scope of its own. Where the server is older, this is not there: then nothing is named.
pub(super) const RESOLVE: Operation =
    write("resolve", Class::Post, "/api/Directory/BulkResolveByName/{organization}", true);
pub(super) const SEARCH: Operation = look("search", "/api/DirectoryService/SearchForUsersAndGroups");
pub(super) const ROLES: Operation = look("roles", "/odata/Roles");
pub(super) const FOLDERS: Operation = look("folders", "/odata/Folders");
pub(super) const USERS: Operation = look("users", "/odata/Users");
pub(super) const MEMBERS: Operation = Operation { coded: true, ..look("members", "/odata/Folders/GetUsersForFolder") };
pub(super) const USER_ID: Operation = look("user_id", "/api/DirectoryService/GetDomainUserId");
pub(super) const USER: Operation = Operation { coded: true, ..look("user", "/odata/Users({user})") };
pub(super) const ADMIT: Operation = permit("admit", Class::Post, "/odata/Users");
pub(super) const TENANT_ROLES: Operation = permit("tenant_roles", Class::Post, "/odata/Users({user})/AssignRoles");
pub(super) const FOLDER_ROLES: Operation = permit("folder_roles", Class::Post, "/odata/Folders/AssignUsers");
pub(super) const DIRECTORY_ROLES: Operation =
    permit("directory_roles", Class::Post, "/odata/Folders/AssignDirectoryUser");
pub(super) const LEAVE: Operation = permit("leave", Class::Post, "/odata/Folders({folder})/RemoveUserFromFolder");
pub(super) const EXPEL: Operation = permit("expel", Class::Delete, "/odata/Users({user})");

const fn look(name: &'static str, template: &'static str) -> Operation {
    let (service, needed, limit) = (Service::Orchestrator, LOOK, PAGE_LIMIT);
    Operation { service, needed, limit, ..read(name, template, true) }
}

/// Each of these sets something to a state, so that doing it twice is the same as doing it once.
const fn permit(name: &'static str, class: Class, template: &'static str) -> Operation {
    let (service, needed, coded) = (Service::Orchestrator, PERMIT, true);
    Operation { service, needed, coded, ..write(name, class, template, true) }
}
