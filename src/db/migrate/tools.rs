//! Other migration tools: how their files look, and how devdb calls them. The conventions are those
//! of each tool's own manual.

use std::path::Path;

/// A migration tool.
#[derive(Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// The words of its command in YAML. `{dir}` stands for the directory of migrations, `{npx}` for
    /// npx in a project with a package.json, and `{schema}` for Prisma's option with its schema when
    /// that is in an unusual place. Empty when every project calls it in a way
    /// of its own.
    command: &'static str,
    /// The globs of the files that it reads, below the directory.
    inputs: &'static [&'static str],
}

impl Tool {
    /// The section `migrations` of devdb.yaml on one line: the tool applies the files of
    /// `directory`, which is relative to `root`.
    pub fn section(&self, root: &Path, directory: &str) -> Option<String> {
        if self.command.is_empty() {
            return None;
        }
        let npx = if root.join("package.json").exists() { "npx, " } else { "" };
        let schema = match directory.rsplit_once('/') {
            // Where Prisma itself looks.
            Some(("prisma", _)) | None => String::new(),
            Some((above, _)) => format!(", --schema, {above}/schema.prisma"),
        };
        let command = self.command.replace("{dir}", directory).replace("{npx}", npx);
        let command = command.replace("{schema}", &schema);
        let inputs: Vec<String> =
            self.inputs.iter().map(|glob| format!("\"{directory}/{glob}\"")).collect();
        let inputs = inputs.join(", ");
        Some(format!("migrations: {{ command: [{command}], inputs: [{inputs}] }}"))
    }
}

macro_rules! tools {
    ($($id:ident = $name:literal, $command:literal, [$($glob:literal),*];)*) => {
        $(pub(super) static $id: Tool =
            Tool { name: $name, command: $command, inputs: &[$($glob),*] };)*
        #[cfg(test)]
        static ALL: &[&Tool] = &[$(&$id),*];
    };
}

tools! {
    ALEMBIC = "Alembic", "alembic, upgrade, head", ["**/*.py"];
    ATLAS = "Atlas", r#"sh, -c, 'atlas migrate apply --dir "file://{dir}" --url "$DATABASE_URL"'"#, ["**"];
    DB_MIGRATE = "db-migrate", "npx, db-migrate, up, -m, {dir}", ["**"];
    DBMATE = "dbmate", "{npx}dbmate, -d, {dir}, --no-dump-schema, up", ["*.sql"];
    DIESEL = "Diesel", "diesel, migration, run, --migration-dir, {dir}", ["**"];
    DJANGO = "Django", "python, manage.py, migrate", ["*.py"];
    DOCTRINE = "Doctrine", r#"php, bin/console, "doctrine:migrations:migrate", --no-interaction"#, ["**/*.php"];
    DRIZZLE = "Drizzle", "npx, drizzle-kit, migrate", ["**"];
    ECTO = "Ecto", "mix, ecto.migrate", ["**/*.exs"];
    EF_CORE = "Entity Framework Core", "dotnet, ef, database, update", ["**/*.cs"];
    FLYWAY = "Flyway", r#"sh, -c, 'flyway -url="jdbc:postgresql://$PGHOST:$PGPORT/$PGDATABASE" -user="$PGUSER" -password="$PGPASSWORD" -locations="filesystem:{dir}" migrate'"#, ["**"];
    GO = "a Go program", "", [];
    GO_GOOSE = "goose in a Go program", "", [];
    GOOSE = "goose", r#"sh, -c, 'goose -dir {dir} postgres "$DATABASE_URL" up'"#, ["*"];
    GRAPHILE_MIGRATE = "Graphile Migrate", "npx, graphile-migrate, migrate", ["**"];
    JAVASCRIPT = "a JavaScript tool", "", [];
    KNEX = "Knex", r#"npx, knex, "migrate:latest""#, ["**"];
    KYSELY = "Kysely", r#"npx, kysely, "migrate:latest""#, ["**"];
    LARAVEL = "Laravel", "php, artisan, migrate, --force", ["**/*.php"];
    LIQUIBASE = "Liquibase", "", [];
    MIKRO_ORM = "MikroORM", r#"npx, mikro-orm, "migration:up""#, ["**"];
    MYBATIS = "MyBatis Migrations", "", [];
    NODE_PG_MIGRATE = "node-pg-migrate", "npx, node-pg-migrate, -m, {dir}, up", ["**"];
    PHINX = "Phinx", "vendor/bin/phinx, migrate", ["**/*.php"];
    PHP = "a PHP tool", "", [];
    PLAY = "Play evolutions", "", [];
    PRISMA = "Prisma", "npx, prisma, migrate, deploy{schema}", ["**"];
    PYTHON = "a Python tool", "", [];
    RAILS = "Rails", r#"bin/rails, "db:migrate""#, ["**/*.rb"];
    RAMBLER = "rambler", "rambler, apply, --all", ["*.sql"];
    REFINERY = "refinery", "refinery, migrate, -e, DATABASE_URL, -p, {dir}", ["**"];
    RUBY = "a Ruby tool", "", [];
    RUST = "a Rust program", "", [];
    SEA_ORM = "SeaORM", "sea-orm-cli, migrate, up", ["**/*.rs"];
    SEQUELIZE = "Sequelize", r#"sh, -c, 'npx sequelize-cli db:migrate --migrations-path {dir} --url "$DATABASE_URL"'"#, ["**"];
    SQITCH = "Sqitch", r#"sh, -c, 'sqitch deploy "db:$DATABASE_URL"'"#, ["**"];
    SQL_MIGRATE = "sql-migrate", "sql-migrate, up", ["*.sql"];
    TERN = "tern", "tern, migrate, -m, {dir}", ["**"];
    TYPEORM = "TypeORM", "sh, -c, 'npx tsc && npx typeorm migration:run -d dist/data-source.js'", ["**"];
    YOYO = "yoyo", r#"sh, -c, 'yoyo apply --batch --database "$DATABASE_URL" {dir}'"#, ["**"];
}

/// A line in a SQL file that only one tool understands.
pub(super) struct Marker {
    pub tool: &'static Tool,
    /// What the line is, in lower case, without the comment's dashes.
    text: &'static str,
    /// Whether more may follow on the line.
    is_prefix: bool,
}

impl Marker {
    /// Whether a line is this marker. Case, and blanks around the dashes, do not matter.
    pub fn is_in(&self, line: &str) -> bool {
        let line = line.trim();
        let Some(comment) = line.strip_prefix("--").or_else(|| line.strip_prefix('#')) else {
            return false;
        };
        let comment = comment.trim_start_matches(['-', ' ', '\t']).to_ascii_lowercase();
        match self.is_prefix {
            true => comment.starts_with(self.text),
            false => comment == self.text,
        }
    }
}

const fn begins(tool: &'static Tool, text: &'static str) -> Marker {
    Marker { tool, text, is_prefix: true }
}

const fn is(tool: &'static Tool, text: &'static str) -> Marker {
    Marker { tool, text, is_prefix: false }
}

pub(super) static MARKERS: &[Marker] = &[
    begins(&DBMATE, "migrate:up"),
    begins(&DBMATE, "migrate:down"),
    begins(&GOOSE, "+goose "),
    begins(&SQL_MIGRATE, "+migrate "),
    // People write `Up Migration` as a comment of their own; the other half is what does harm.
    is(&NODE_PG_MIGRATE, "down migration"),
    begins(&DRIZZLE, "> statement-breakpoint"),
    is(&RAMBLER, "rambler up"),
    is(&RAMBLER, "rambler down"),
    begins(&LIQUIBASE, "liquibase formatted sql"),
    begins(&MYBATIS, "//@undo"),
    begins(&TERN, "create above / drop below"),
    is(&PLAY, "!ups"),
    is(&PLAY, "!downs"),
    begins(&GRAPHILE_MIGRATE, "! previous:"),
];

/// A subdirectory that only one tool has.
pub(super) struct Layout {
    pub tool: &'static Tool,
    /// Its name; none for one subdirectory for each migration.
    pub directory: Option<&'static str>,
    /// Files that are in it; never empty.
    pub files: &'static [&'static str],
}

/// The more special one comes first.
pub(super) static LAYOUTS: &[Layout] = &[
    Layout { tool: &DRIZZLE, directory: Some("meta"), files: &["_journal.json"] },
    Layout { tool: &DRIZZLE, directory: None, files: &["migration.sql", "snapshot.json"] },
    Layout { tool: &PRISMA, directory: None, files: &["migration.sql"] },
    Layout { tool: &DIESEL, directory: None, files: &["up.sql"] },
    Layout { tool: &GRAPHILE_MIGRATE, directory: Some("committed"), files: &["000001.sql"] },
];

/// Files that only one tool has.
pub(super) static FILES: &[(&str, &Tool)] = &[
    ("migration_lock.toml", &PRISMA),
    ("atlas.sum", &ATLAS),
    ("sqitch.plan", &SQITCH),
    ("sqitch.conf", &SQITCH),
    ("env.py", &ALEMBIC),
    ("script.py.mako", &ALEMBIC),
    ("alembic.ini", &ALEMBIC),
    ("__init__.py", &DJANGO),
    ("tern.conf", &TERN),
];

/// Migrations that are programs.
pub(super) struct Source {
    pub tool: &'static Tool,
    pub extensions: &'static [&'static str],
    /// Words that such a program has. Empty for the tool that is named when nothing else fits.
    pub words: &'static [&'static str],
}

impl Source {
    /// Whether a file with such a name is certainly a migration of some tool.
    pub fn is_certain(&self) -> bool {
        self.words.is_empty()
    }
}

const JS: &[&str] = &["js", "ts", "mjs", "cjs", "mts", "cts"];

/// For each extension, the source without words comes first.
pub(super) static SOURCES: &[Source] = &[
    Source { tool: &JAVASCRIPT, extensions: JS, words: &[] },
    Source { tool: &NODE_PG_MIGRATE, extensions: JS, words: &["node-pg-migrate", "pgm"] },
    Source { tool: &TYPEORM, extensions: JS, words: &["MigrationInterface", "queryRunner"] },
    Source { tool: &SEQUELIZE, extensions: JS, words: &["queryInterface", "QueryInterface"] },
    Source { tool: &MIKRO_ORM, extensions: JS, words: &["@mikro-orm", "this.addSql"] },
    Source { tool: &KYSELY, extensions: JS, words: &["kysely", "Kysely"] },
    Source { tool: &KNEX, extensions: JS, words: &["knex", "Knex"] },
    Source { tool: &DB_MIGRATE, extensions: JS, words: &["db-migrate", "dbmigrate", "db.runSql"] },
    Source { tool: &PYTHON, extensions: &["py"], words: &[] },
    Source { tool: &ALEMBIC, extensions: &["py"], words: &["alembic"] },
    Source { tool: &DJANGO, extensions: &["py"], words: &["django"] },
    Source { tool: &YOYO, extensions: &["py"], words: &["yoyo"] },
    Source { tool: &RUBY, extensions: &["rb"], words: &[] },
    Source { tool: &RAILS, extensions: &["rb"], words: &["ActiveRecord::Migration"] },
    Source { tool: &ECTO, extensions: &["exs", "ex"], words: &[] },
    Source { tool: &PHP, extensions: &["php"], words: &[] },
    Source { tool: &LARAVEL, extensions: &["php"], words: &["Illuminate\\"] },
    Source { tool: &PHINX, extensions: &["php"], words: &["Phinx\\"] },
    Source { tool: &DOCTRINE, extensions: &["php"], words: &["Doctrine\\"] },
    Source { tool: &GO, extensions: &["go"], words: &[] },
    Source { tool: &GO_GOOSE, extensions: &["go"], words: &["goose."] },
    Source { tool: &RUST, extensions: &["rs"], words: &[] },
    Source { tool: &SEA_ORM, extensions: &["rs"], words: &["sea_orm_migration"] },
    Source { tool: &REFINERY, extensions: &["rs"], words: &["refinery", "barrel"] },
    Source { tool: &EF_CORE, extensions: &["cs"], words: &[] },
    Source { tool: &FLYWAY, extensions: &["java", "kt", "conf"], words: &[] },
    Source {
        tool: &LIQUIBASE,
        extensions: &["xml", "yaml", "yml", "json"],
        words: &["databaseChangeLog"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prisma_is_told_where_its_schema_is_unless_it_looks_there_itself() {
        let section = |directory| PRISMA.section(Path::new("/nowhere"), directory).unwrap();
        assert!(!section("prisma/migrations").contains("--schema"));
        assert!(section("db/migrations").contains("deploy, --schema, db/schema.prisma]"));
    }

    /// What devdb says to write is read by devdb's own reader of devdb.yaml.
    #[test]
    fn every_section_is_yaml_with_a_command_and_its_inputs() {
        for tool in ALL {
            let Some(section) = tool.section(Path::new("/nowhere"), "db/migrations") else {
                continue;
            };
            let read: serde_json::Value =
                serde_yaml::from_str(&section).unwrap_or_else(|error| panic!("{section}: {error}"));
            let list = |name: &str| read["migrations"][name].as_array().unwrap().clone();
            assert!(list("command").iter().all(|word| word.is_string()), "{section}");
            assert!(!list("inputs").is_empty(), "{section}");
        }
    }
}
