//! What the binary carries: the sample project, the manual, and the templates of `devdb init` and
//! `devdb migrate new`.

use std::path::Path;

use include_dir::{Dir, include_dir};

/// The sample project's migrations.
pub static MIGRATIONS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations");

/// The sample project's seeds.
pub static SEEDS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/seeds");

/// `devdb.yaml`, `env.example`, `gitignore`, `migration.sql`, `seed.yaml`;
/// `ci/github.yml`, `ci/gitlab.yml`.
pub static TEMPLATES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// The pages of the manual.
pub static DOCS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/docs");

/// The text of the template of this name; none when there is no such template.
pub fn template(name: &str) -> Option<&'static str> {
    TEMPLATES.get_file(name)?.contents_utf8()
}

/// Whether a directory of migrations is the sample project's, as in devdb's own checkout.
pub fn is_the_samples(migrations: &Path) -> bool {
    MIGRATIONS.files().all(|file| migrations.join(file.path()).is_file())
}
