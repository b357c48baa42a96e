//! Files that are built into the binary: the sample project, the manual, and the templates of
//! `devdb init` and `devdb migrate new`.

use std::path::Path;

use include_dir::{Dir, include_dir};

/// The sample project's migrations.
pub static MIGRATIONS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations");

/// The sample project's seeds.
pub static SEEDS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/seeds");

/// The templates: `devdb.yaml`, `env.example`, `gitignore`, `migration.sql`, `seed.yaml`,
/// `ci/github.yml` and `ci/gitlab.yml`.
pub static TEMPLATES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// The pages of the manual.
pub static DOCS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/docs");

/// The text of the template of this name; none when there is no such template.
pub fn template(name: &str) -> Option<&'static str> {
    TEMPLATES.get_file(name)?.contents_utf8()
}

/// Whether a directory has the sample project's migrations, as devdb's own checkout does.
pub fn is_sample_project(migrations: &Path) -> bool {
    MIGRATIONS.files().all(|file| migrations.join(file.path()).is_file())
}
