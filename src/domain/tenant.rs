//! One tenant: its folders, its roles, and who has them. A server without tenants is one of its own, without folders.

use std::collections::BTreeSet;

use super::registration::PrincipalId;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A folder's number in its tenant. It stays when the folder is renamed or moved.
    FolderId
}
macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub fn new(id: impl ToString) -> Self {
                Self(id.to_string())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// The server's own identifier of a role.
    RoleId
}
text! {
    /// The identifier under which a tenant knows a principal. Another tenant has another one for it.
    UserId
}

/// Where a role can be assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleKind {
    Tenant,
    Folder,
    /// In both.
    Mixed,
}

/// A role. Its name is unique in the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub id: RoleId,
    pub name: String,
    pub kind: RoleKind,
    /// Why it is never given, where it is not: it administers the server itself.
    pub barred: Option<&'static str>,
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    pub id: FolderId,
    /// The names from the top folder down, with slashes between them.
    pub path: String,
}

/// An application that the tenant knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub principal: PrincipalId,
    /// The names of its roles in the tenant itself.
    pub roles: BTreeSet<String>,
    /// The folders that it is assigned to, where the server says so here.
    pub folders: Option<BTreeSet<FolderId>>,
}

/// Who is assigned to a folder, and with what. What is inherited is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub user: UserId,
    pub roles: BTreeSet<String>,
    /// All folders that the user is assigned to, where the server says so here.
    pub folders: Option<BTreeSet<FolderId>>,
}

/// All of a tenant that concerns applications, read at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenant {
    pub roles: Vec<Role>,
    pub folders: Vec<Folder>,
    pub users: Vec<User>,
}

impl Tenant {
    /// The application as this tenant knows it.
    pub fn user(&self, principal: &PrincipalId) -> Option<&User> {
        self.users.iter().find(|user| user.principal == *principal)
    }

    pub fn folder(&self, path: &str) -> Option<&Folder> {
        self.folders.iter().find(|folder| folder.path == path)
    }

    pub fn has_folder(&self, id: FolderId) -> bool {
        self.folders.iter().any(|folder| folder.id == id)
    }

    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }
}

/// What the directory says about an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    Known(PrincipalId),
    /// Not there, or not yet: a new registration takes a while.
    Unknown,
    /// Several have the name, and nothing tells which of them is meant.
    Ambiguous,
}
