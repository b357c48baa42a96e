//! isolation: branch: an instance per git branch, on real repositories.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::sandbox::{On, Ran, Sandbox, finish, psql};

crate::on_both_engines!(
    a_renamed_branch_is_told_where_its_data_is,
    two_branches_have_two_databases_and_switching_back_finds_the_old_one,
    a_worktree_has_databases_of_its_own,
    awkward_names_of_branches_work_and_stay_apart,
    a_new_branch_can_begin_with_the_data_of_another,
    the_database_from_before_the_setting_is_named_once,
);

/// git with a cleared environment.
#[track_caller]
pub fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .args(["-c", "user.name=T", "-c", "user.email=t@localhost", "-C"])
        .arg(directory)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    finish(command).ok().line()
}

/// A small project in a repository, on branch main, with one commit.
pub fn repository(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.write("devdb.yaml", "project: shop\nisolation: branch\n");
    git(&sandbox.work(), &["init", "-q", "-b", "main"]);
    git(&sandbox.work(), &["add", "."]);
    git(&sandbox.work(), &["commit", "-q", "-m", "all"]);
}

/// The instance's name and where that came from, as `devdb config` has it.
fn named(ran: Ran) -> (String, String) {
    let config = ran.ok().json();
    let settings = config["result"]["settings"].as_array().unwrap().clone();
    let row = settings.iter().find(|row| row["key"] == "instance").unwrap();
    (row["value"].as_str().unwrap().to_owned(), row["origin"].as_str().unwrap().to_owned())
}

fn name_here(sandbox: &Sandbox) -> String {
    let (name, origin) = named(sandbox.run(&["config", "--json"]));
    assert_eq!(origin, "git branch");
    name
}

fn a_new_branch_can_begin_with_the_data_of_another(sandbox: &Sandbox) {
    repository(sandbox);
    sandbox.run(&["up"]).ok();
    let on_main = sandbox.url();
    sandbox.sql("insert into items (name) values ('of main')");
    git(&sandbox.work(), &["switch", "-q", "-c", "feature"]);
    sandbox.write("migrations/20260102000000_more.sql", "ALTER TABLE items ADD note text;\n");
    sandbox.run(&["up", "--from", "nowhere"]).exits(1).says("\"nowhere\"").says("devdb list");
    sandbox.run(&["up", "--from", "feature"]).exits(2).says("a copy of itself");
    sandbox.run(&["up", "--from", "main"]).ok().says("applied 1 migration");
    assert_eq!(sandbox.sql("select count(*), count(note) from items"), "2|0");
    sandbox.sql("delete from items");
    assert_eq!(psql(&on_main, "select count(*) from items").ok().line(), "2");
    let exists = sandbox.run(&["up", "--from", "main"]).exits(2).says("exists already");
    exists.says("devdb --instance main snapshot export");
    git(&sandbox.work(), &["switch", "-q", "main"]);
    let list = sandbox.run(&["snapshot", "list", "--json"]).ok().json();
    assert_eq!(list["result"]["snapshots"].as_array().unwrap().len(), 0, "{list}");
}

fn the_database_from_before_the_setting_is_named_once(sandbox: &Sandbox) {
    repository(sandbox);
    git(&sandbox.work(), &["branch", "-q", "-m", "trunk"]);
    sandbox.write("devdb.yaml", "project: shop\n");
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["up", "--instance", "exp"]).ok();
    sandbox.write("devdb.yaml", "project: shop\nisolation: branch\n");
    let said = "The database from before is the instance main";
    sandbox.run(&["up"]).ok().says(said);
    // What the note says to type.
    sandbox.run(&["down", "--purge", "--instance", "trunk", "--yes"]).ok();
    sandbox.run(&["up", "--from", "main"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "2");
    git(&sandbox.work(), &["switch", "-q", "-c", "feature"]);
    let up = sandbox.run(&["up"]).ok();
    assert!(!up.stderr.contains(said), "{}", up.stderr);
    sandbox.run(&["down", "--purge", "--all", "--yes"]).ok();
}

fn a_renamed_branch_is_told_where_its_data_is(sandbox: &Sandbox) {
    repository(sandbox);
    git(&sandbox.work(), &["switch", "-q", "-c", "old/One"]);
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    for name in ["between", "new"] {
        git(&sandbox.work(), &["branch", "-m", name]);
    }
    let told = sandbox.run(&["up"]).ok().says("was called old/One").says("devdb up --from old/One");
    assert!(!told.stdout.contains("old/One"), "{}", told.stdout);
    let again = sandbox.run(&["up"]).ok();
    assert!(!again.stderr.contains("old/One"), "once is enough:\n{}", again.stderr);
    // Nobody has taken the data over yet, and perhaps somebody will.
    let kept = sandbox.run(&["gc", "--yes"]).ok().says("called new now").says("nothing to remove");
    assert!(kept.stdout.contains(" down --purge --instance old/One"), "{}", kept.stdout);
    // Told to another instance or from elsewhere, it is about the same database.
    let told = sandbox.run(&["--instance", "other", "gc"]).ok();
    assert!(!told.stdout.contains("other"), "{}", told.stdout);
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    sandbox.run(&["up", "--from", "old/One"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
    sandbox.run(&["down", "--purge", "--yes", "--instance", "old/One"]).ok();
    let none = sandbox.run(&["gc", "--yes"]).ok().says("nothing to remove");
    assert!(!none.stdout.contains("old/One"), "{}", none.stdout);
}

fn two_branches_have_two_databases_and_switching_back_finds_the_old_one(sandbox: &Sandbox) {
    repository(sandbox);
    sandbox.run(&["up"]).ok();
    let on_main = sandbox.url();
    sandbox.sql("insert into items (name) values ('of main')");

    git(&sandbox.work(), &["switch", "-q", "-c", "Feature/Big-One"]);
    sandbox.run(&["status"]).ok().says("not there yet");
    sandbox.run(&["up"]).ok().says("Feature/Big-One");
    let on_feature = sandbox.url();
    assert_ne!(on_feature, on_main);
    assert_eq!(sandbox.sql("select string_agg(name, ',') from items"), "First");
    sandbox.sql("insert into items (name) values ('of the feature')");
    // A tag of the same name changes nothing.
    git(&sandbox.work(), &["tag", "Feature/Big-One"]);
    assert_eq!(name_here(sandbox), "Feature/Big-One");
    assert_eq!(sandbox.url(), on_feature);

    git(&sandbox.work(), &["switch", "-q", "main"]);
    assert_eq!(sandbox.url(), on_main);
    let up = sandbox.run(&["up", "--json"]).ok().json();
    assert_eq!(up["result"]["how"], "unchanged");
    assert_eq!(sandbox.sql("select count(*) from items where name = 'of main'"), "1");
    sandbox.run(&["list"]).ok().says("Feature/Big-One");

    // A name that somebody gives wins, wherever it is given.
    let flag = sandbox.run(&["url", "--instance", "Feature/Big-One"]).ok().line();
    assert_eq!(flag, on_feature);
    let mut variable = sandbox.command(&["config", "--json"]);
    variable.env("DEVDB_INSTANCE", "mine");
    assert_eq!(named(finish(variable)), ("mine".into(), "DEVDB_INSTANCE".into()));
    let mut variable = sandbox.command(&["config", "--json"]);
    variable.env("DEVDB_ISOLATION", "developer");
    assert_eq!(named(finish(variable)), ("main".into(), "default".into()));

    // A hook of git has variables that lead to another repository.
    let mut hook = sandbox.command(&["url"]);
    hook.env("GIT_DIR", "/nonexistent").env("GIT_WORK_TREE", "/");
    assert_eq!(finish(hook).ok().line(), on_main);
}

fn a_worktree_has_databases_of_its_own(sandbox: &Sandbox) {
    repository(sandbox);
    git(&sandbox.work(), &["branch", "side"]);
    sandbox.run(&["up"]).ok();
    git(&sandbox.work(), &["switch", "-q", "side"]);
    sandbox.run(&["up"]).ok();
    let in_checkout = sandbox.url();
    sandbox.sql("insert into items (name) values ('of the checkout')");
    git(&sandbox.work(), &["switch", "-q", "main"]);

    let tree = sandbox.home().join("tree");
    git(&sandbox.work(), &["worktree", "add", "-q", &tree.to_string_lossy(), "side"]);
    sandbox.run_in(&tree, &["up"]).ok().says("side");
    let in_tree = sandbox.run_in(&tree, &["url"]).ok().line();
    assert_ne!(in_tree, in_checkout);
    assert_eq!(psql(&in_tree, "select count(*) from items").ok().line(), "1");
    assert_eq!(psql(&in_checkout, "select count(*) from items").ok().line(), "2");
    sandbox.run(&["gc"]).ok().says("nothing to remove");

    // Without its worktree the one is of no use; the other's branch is still there.
    git(&sandbox.work(), &["worktree", "remove", "--force", &tree.to_string_lossy()]);
    sandbox.run(&["gc", "--yes"]).ok().says("side").says("is gone");
    assert_ne!(psql(&in_tree, "select 1").code, 0);
    assert_eq!(psql(&in_checkout, "select count(*) from items").ok().line(), "2");
}

fn awkward_names_of_branches_work_and_stay_apart(sandbox: &Sandbox) {
    repository(sandbox);
    let long = |end: &str| format!("Ünï/{}/{end}", "Long".repeat(49));
    assert!(long("a").chars().count() >= 200);
    // Two and two are the same as far as a container's name goes.
    let names = [long("a"), long("b"), "A/b".into(), "a/b".into(), "x/y".into(), "x-y".into()];
    let mut urls = Vec::new();
    for name in &names {
        git(&sandbox.work(), &["switch", "-q", "-c", name]);
        assert_eq!(&name_here(sandbox), name);
        sandbox.run(&["up"]).ok();
        urls.push(sandbox.url());
        sandbox.sql("insert into items (name) values ('mine')");
        assert_eq!(sandbox.sql("select count(*) from items"), "2");
    }
    assert_eq!(urls.iter().collect::<BTreeSet<_>>().len(), names.len(), "{urls:?}");
    sandbox.run(&["reset"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "1");

    git(&sandbox.work(), &["switch", "-q", "--detach"]);
    assert_eq!(name_here(sandbox), "HEAD");
    sandbox.run(&["up"]).ok();
    assert!(!urls.contains(&sandbox.url()));
    urls.push(sandbox.url());
    sandbox.run(&["gc"]).ok().says("nothing to remove");

    git(&sandbox.work(), &["branch", "-q", "-D", &names[0]]);
    let removed = sandbox.run(&["gc", "--yes", "--json"]).ok().json();
    let found = removed["result"]["found"].as_array().unwrap();
    assert_eq!(found.len(), 1, "{removed:#}");
    assert_eq!(found[0]["owner"]["instance"], names[0].as_str());
    assert_eq!(found[0]["left"].as_array().unwrap().len(), 0);
    assert_ne!(psql(&urls[0], "select 1").code, 0);
    for url in &urls[1..] {
        psql(url, "select 1").ok();
    }
}

#[test]
fn names_where_there_is_no_commit_or_no_git() {
    let Some(sandbox) = Sandbox::new(crate::sandbox::On::Native, "no git") else { return };
    sandbox.project();
    sandbox.write("devdb.yaml", "project: shop\nisolation: branch\n");
    sandbox
        .run(&["up"])
        .exits(3)
        .says("devdb.yaml:2:12")
        .says("not a git repository")
        .says("--instance");
    let named = named(sandbox.run(&["config", "--json", "--instance", "by hand"]));
    assert_eq!(named, ("by hand".into(), "--instance".into()));
    git(&sandbox.work(), &["init", "-q", "-b", "not/born"]);
    assert_eq!(name_here(&sandbox), "not/born");
    let mut without = sandbox.command(&["up"]);
    without.env("PATH", "/nonexistent");
    finish(without).exits(3).says("git cannot be run");
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

/// What a worktree has while its main checkout is away for a moment.
#[test]
fn a_database_from_the_time_without_git_is_told_of_and_can_be_reached() {
    let Some(sandbox) = Sandbox::new(On::Native, "a worktree without git") else { return };
    repository(&sandbox);
    sandbox.write("devdb.yaml", "project: shop\n");
    git(&sandbox.work(), &["commit", "-qam", "no isolation"]);
    let (tree, away) = (sandbox.home().join("tree"), sandbox.home().join("away"));
    git(&sandbox.work(), &["worktree", "add", "-q", "-b", "side", &tree.to_string_lossy()]);
    let up = |tree: &Path| sandbox.run_in(tree, &["up"]).ok();
    let rows = |tree: &Path| {
        let url = sandbox.run_in(tree, &["url"]).ok().line();
        psql(&url, "select count(*) from items").ok().line()
    };
    up(&tree);
    std::fs::rename(sandbox.work(), &away).unwrap();
    up(&tree).says("gets databases of its own until git finds its directory");
    let interim = sandbox.run_in(&tree, &["url"]).ok().line();
    psql(&interim, "insert into items (name) values ('meanwhile')").ok();
    std::fs::rename(&away, sandbox.work()).unwrap();
    up(&tree)
        .says("another database main while its git directory was not there")
        .says("tree/.git has another name");
    assert_eq!(rows(&tree), "1");
    std::fs::rename(tree.join(".git"), tree.join(".git.away")).unwrap();
    assert_eq!(rows(&tree), "2");
    sandbox.run_in(&tree, &["down", "--purge", "--yes"]).ok();
    std::fs::rename(tree.join(".git.away"), tree.join(".git")).unwrap();
    assert!(!up(&tree).stderr.contains("another database"), "it is gone");
    sandbox.run_in(&tree, &["down", "--purge", "--yes"]).ok();
}
