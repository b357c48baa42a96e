//! The command line of `devdb init`.

use clap::{Args, ValueEnum};

/// `devdb init`
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing that is there is overwritten. In a project, --ci adds its file and nothing else; run\n\
    it in the repository's top directory, where CI systems look.\n\n\
    Examples:\n  devdb init                 devdb.yaml, migrations/, seeds/, .env.example, .gitignore\n  \
    devdb init --sample        with migrations and seeds to start from\n  \
    devdb init --ci github     .github/workflows/devdb.yml: tests under `devdb run`\n  \
    devdb init --ci gitlab     .gitlab-ci.yml, with a Docker service or without Docker"
)]
pub struct InitArgs {
    /// Copy the sample project's migrations and seeds too
    #[arg(long)]
    pub sample: bool,
    /// Write the file that runs the tests on this CI system
    #[arg(long, value_enum, value_name = "SYSTEM")]
    pub ci: Option<CiSystem>,
}

/// CI systems that `devdb init` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CiSystem {
    /// GitHub Actions: .github/workflows/devdb.yml
    Github,
    /// GitLab CI/CD: .gitlab-ci.yml
    Gitlab,
}
