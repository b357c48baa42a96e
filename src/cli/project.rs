//! The command lines of a project: its files, settings and secrets.

use clap::{Args, Subcommand, ValueEnum};

/// `devdb init`
#[derive(Debug, Args)]
#[command(
    after_help = "devdb does not overwrite a file. In a directory that has a devdb.yaml, --ci adds \
    only the file for the CI system. Run it in the top directory of the repository, \
    where CI systems look for their files.\n\n\
    Examples:\n  \
    devdb init               create devdb.yaml and the directories it names\n  \
    devdb init --sample      also copy the migrations and seeds of the sample\n  \
    devdb init --ci github   create .github/workflows/devdb.yml\n  \
    devdb init --ci gitlab   create .gitlab-ci.yml"
)]
pub struct InitArgs {
    /// Copy the sample project's migrations and seeds too
    #[arg(long)]
    pub sample: bool,
    /// Write a file that runs the tests on this CI system
    #[arg(long, value_enum, value_name = "SYSTEM")]
    pub ci: Option<CiSystem>,
}

/// CI systems that `devdb init` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CiSystem {
    /// GitHub Actions, .github/workflows/devdb.yml
    Github,
    /// GitLab CI/CD, .gitlab-ci.yml
    Gitlab,
}

/// `devdb secret`
#[derive(Debug, Args)]
#[command(
    after_help = "Values are read from standard input, never from arguments, which other users can \
    see.\n\n\
    Examples:\n  \
    devdb secret keygen\n  \
    printf %s \"$PASSWORD\" | devdb secret encrypt"
)]
pub struct SecretArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SecretCommand,
}

/// Subcommands of `devdb secret`.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Print a new key: 32 random bytes in base64
    #[command(after_help = "Example:\n  \
    echo \"ENCRYPTION_KEY=$(devdb secret keygen)\" >> .env")]
    Keygen,
    /// Encrypt the value on standard input
    #[command(
        after_help = "The key is ENCRYPTION_KEY, else that of .env, else the one that devdb keeps for this\n\
    project. `devdb config` shows where it comes from.\n\n\
    Example:\n  \
    printf %s \"$PASSWORD\" | devdb secret encrypt"
    )]
    Encrypt,
    /// Decrypt the value on standard input
    #[command(
        after_help = "The key is ENCRYPTION_KEY, else that of .env, else the one that devdb keeps for this\n\
    project. `devdb config` shows where it comes from.\n\n\
    Example:\n  \
    devdb psql -Atc 'select password_encrypted from gateways limit 1' |\n    \
    devdb secret decrypt"
    )]
    Decrypt,
}

/// `devdb config`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
    devdb config\n  \
    devdb config --json\n  \
    devdb config schema > devdb.schema.json"
)]
pub struct ConfigArgs {
    /// What to print; none: the settings.
    #[command(subcommand)]
    pub command: Option<ConfigCommand>,
}

/// Subcommands of `devdb config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print a JSON Schema of devdb.yaml for editors
    #[command(after_help = "Many editors use it when devdb.yaml begins with this line:\n  \
    # yaml-language-server: $schema=./devdb.schema.json\n\n\
    Example:\n  \
    devdb config schema > devdb.schema.json")]
    Schema,
}
