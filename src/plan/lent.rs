//! The variables by which a program knows the database that devdb lent it, and by which a devdb that
//! the program runs knows it: for the command of `devdb run`, and for another tool's command.

use crate::config::environment::Environment;
use crate::db::connect::Address;

/// The variable with the id of a database of `devdb ephemeral`.
pub const EPHEMERAL_VARIABLE: &str = "DEVDB_EPHEMERAL";

/// The id of a database that a command of `migrations` or `seeds` works on.
const TOOL: &str = "building";

/// The variables.
#[derive(Debug)]
pub struct LentVariables {
    /// The id of the database. It also marks the command of `devdb run` and its descendants.
    pub id: String,
    /// The address of the database. The command may change `DATABASE_URL` for its own purposes.
    pub address: Address,
    /// The id of the project that the database was made for.
    pub project_id: String,
}

impl LentVariables {
    /// The variable with the id.
    pub const ID: &str = "DEVDB_RUN";
    const URL: &str = "DEVDB_RUN_URL";
    const PROJECT: &str = "DEVDB_RUN_PROJECT";

    /// The variables that devdb has inherited. None outside of such a command.
    pub fn of(environment: &Environment) -> Option<Self> {
        Some(LentVariables {
            id: environment.get(Self::ID)?.to_owned(),
            address: Address::parse(environment.get(Self::URL)?)?,
            project_id: environment.get(Self::PROJECT)?.to_owned(),
        })
    }

    /// The variables for another tool's command. A tool that runs inside of `devdb run` keeps the
    /// mark of that run.
    pub fn for_tool(environment: &Environment, address: &Address, project_id: &str) -> Self {
        LentVariables {
            id: environment.get(Self::ID).unwrap_or(TOOL).to_owned(),
            address: address.clone(),
            project_id: project_id.to_owned(),
        }
    }

    /// The variables for the command.
    pub fn to_set(&self) -> [(&'static str, String); 3] {
        [
            (Self::ID, self.id.clone()),
            (Self::URL, self.address.url()),
            (Self::PROJECT, self.project_id.clone()),
        ]
    }
}
