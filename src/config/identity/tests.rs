use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::config::FILE;

struct World {
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        World { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    /// A directory.
    fn plain(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(FILE), "").unwrap();
        path
    }

    /// What is enough of a checkout.
    fn checkout(&self, name: &str) -> PathBuf {
        let path = self.plain(name);
        fs::create_dir(path.join(".git")).unwrap();
        fs::write(path.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        path
    }

    fn of(&self, path: &Path) -> Identity {
        project_id(path, &self.path("data"), &Environment::from_pairs([("A", "b")])).unwrap()
    }

    fn id(&self, path: &Path) -> String {
        self.of(path).id
    }
}

fn run(program: &str, arguments: &[&str], directory: &Path) {
    let status = Command::new(program).args(arguments).current_dir(directory).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

fn copy(from: &Path, to: &Path) {
    run("cp", &["-R", from.to_str().unwrap(), to.to_str().unwrap()], Path::new("/"));
}

#[test]
fn the_same_directory_is_the_same_project() {
    let world = World::new();
    for root in [world.checkout("a"), world.plain("b")] {
        let first = world.of(&root);
        assert_eq!(world.of(&root), first);
        assert!(first.notes.is_empty(), "{first:?}");
        assert!(Uuid::parse_str(&first.id).is_ok());
        std::os::unix::fs::symlink(&root, world.path("link")).unwrap();
        assert_eq!(world.of(&world.path("link")), first);
        fs::remove_file(world.path("link")).unwrap();
    }
    assert!(!world.path("a/.devdb").exists(), "git keeps it");
    assert_eq!(fs::read_to_string(world.path("b/.devdb/.gitignore")).unwrap(), "*\n");
    assert_ne!(world.id(&world.path("a")), world.id(&world.path("b")));
}

#[test]
fn one_checkout_holds_several_projects() {
    let world = World::new();
    let top = world.checkout("a");
    let ids: HashSet<String> = [top.clone(), world.plain("a/x"), world.plain("a/y/z")]
        .iter()
        .map(|p| world.id(p))
        .collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(fs::read_dir(top.join(".git/devdb")).unwrap().count(), 3);
}

#[test]
fn a_moved_directory_stays_itself() {
    let world = World::new();
    for root in [world.checkout("a"), world.plain("b")] {
        let id = world.id(&root);
        fs::rename(&root, world.path("moved")).unwrap();
        let moved = world.of(&world.path("moved"));
        assert_eq!(moved.id, id);
        assert!(moved.notes[0].contains("was moved here from"), "{moved:?}");
        assert!(world.of(&world.path("moved")).notes.is_empty(), "said once");
        // Something else in the old place does not make it a copy.
        fs::create_dir(&root).unwrap();
        assert_ne!(world.id(&root), id);
        assert_eq!(world.id(&world.path("moved")), id);
        fs::remove_dir_all(world.path("moved")).unwrap();
    }
}

#[test]
fn a_copy_gets_an_id_of_its_own() {
    let world = World::new();
    for root in [world.checkout("a"), world.plain("b")] {
        let id = world.id(&root);
        copy(&root, &world.path("copy"));
        let copied = world.of(&world.path("copy"));
        assert_ne!(copied.id, id);
        assert!(copied.notes[0].contains("is a copy of"), "{copied:?}");
        let again = world.of(&world.path("copy"));
        assert_eq!((again.id, again.notes.len()), (copied.id, 0));
        assert_eq!(world.id(&root), id, "the original keeps its own");
        fs::remove_dir_all(world.path("copy")).unwrap();
    }
}

/// With real git, because it decides what a worktree is.
#[test]
fn worktrees_clones_and_copied_worktrees_are_projects_of_their_own() {
    if Command::new("git").arg("--version").output().is_err() {
        // Not `println!`: the test harness keeps that to itself.
        let _ = writeln!(std::io::stdout(), "\nSKIPPED: identity: there is no git on PATH");
        assert!(std::env::var_os("CI").is_none(), "git is needed in CI");
        return;
    }
    let world = World::new();
    let main = world.plain("main");
    run("git", &["init", "-q"], &main);
    let commit = ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q"];
    run("git", &[&commit[..], &["--allow-empty", "-m", "first"]].concat(), &main);
    run("git", &["worktree", "add", "-q", "../tree"], &main);
    run("git", &["clone", "-q", "main", "clone"], &world.path(""));
    let tree = world.path("tree");
    fs::write(tree.join(FILE), "").unwrap();
    let id = world.id(&tree);
    copy(&tree, &world.path("copied-tree"));
    let roots = [main, tree.clone(), world.path("clone"), world.path("copied-tree")];
    let ids: HashSet<String> = roots.iter().map(|root| world.id(root)).collect();
    assert_eq!(ids.len(), 4);
    for _ in 0..2 {
        assert_eq!(world.id(&tree), id, "the original keeps its own");
        assert!(roots.iter().all(|root| ids.contains(&world.id(root))));
    }
    assert!(world.of(&tree).notes.is_empty());
    run("git", &["worktree", "move", "../tree", "../elsewhere"], &world.path("main"));
    assert_eq!(world.id(&world.path("elsewhere")), id);
}

/// The main checkout of a worktree is away for a moment, or not mounted.
#[test]
fn a_worktree_without_its_git_directory_is_itself_again_when_that_is_back() {
    let world = World::new();
    let main = world.checkout("main");
    let tree = world.plain("tree");
    fs::create_dir_all(main.join(".git/worktrees/tree")).unwrap();
    fs::write(main.join(".git/worktrees/tree/HEAD"), "ref: refs/heads/tree\n").unwrap();
    let dot_git = format!("gitdir: {}\n", main.join(".git/worktrees/tree").display());
    fs::write(tree.join(".git"), dot_git).unwrap();
    let id = world.id(&tree);
    fs::rename(&main, world.path("away")).unwrap();
    let lost = world.of(&tree);
    assert_ne!(lost.id, id);
    assert!(lost.notes[0].contains("main/.git/worktrees/tree is not there"), "{lost:?}");
    let again = world.of(&tree);
    assert_eq!((&again.id, again.notes.len()), (&lost.id, 0));
    fs::rename(world.path("away"), &main).unwrap();
    assert_eq!(world.id(&tree), id);
    assert_eq!(interim(&tree), Some((lost.checkout, tree.join(".git"))));
    assert_eq!(interim(&main), None);
    assert!([&id, &lost.id].iter().all(|id| may_be_at(&tree, id)), "gc removes neither");
    assert!(!may_be_at(&tree, &Uuid::new_v4().to_string()));
    // So it is with a project below the top, of which only git's directory knows.
    let below = world.plain("tree/api");
    let of_below = world.id(&below);
    fs::remove_dir_all(below.join(".devdb")).unwrap();
    fs::rename(&main, world.path("away")).unwrap();
    assert_ne!(world.id(&below), of_below);
    assert!(may_be_at(&below, &of_below), "nobody can tell");
    fs::rename(world.path("away"), &main).unwrap();
    assert_eq!(world.id(&below), of_below);
    assert_eq!(world.id(&below), of_below);
    // And when both have moved.
    fs::create_dir(world.path("elsewhere")).unwrap();
    let (main2, tree2) = (world.path("elsewhere/main"), world.path("elsewhere/tree"));
    fs::rename(&main, &main2).unwrap();
    fs::rename(&tree, &tree2).unwrap();
    assert_ne!(world.id(&tree2), id);
    let dot_git = format!("gitdir: {}\n", main2.join(".git/worktrees/tree").display());
    fs::write(tree2.join(".git"), dot_git).unwrap();
    assert_eq!(world.id(&tree2), id);
}

#[test]
fn a_project_below_the_top_of_a_checkout_moves_with_its_directory() {
    let world = World::new();
    let top = world.checkout("a");
    let (old, new) = (world.plain("a/api"), world.path("a/backend"));
    let id = world.id(&old);
    fs::rename(&old, &new).unwrap();
    let moved = world.of(&new);
    assert_eq!(moved.id, id);
    assert!(moved.notes[0].contains("was moved here from"), "{moved:?}");
    // What git does not move has stayed, or something else is there now.
    fs::create_dir(&old).unwrap();
    fs::write(old.join(".env"), "").unwrap();
    assert_eq!(world.of(&new), Identity { notes: Vec::new(), ..moved });
    fs::remove_dir_all(&old).unwrap();
    // Another project takes the old place, with an id of its own.
    let web = world.id(&world.plain("a/web"));
    fs::rename(world.path("a/web"), &old).unwrap();
    assert_eq!(world.id(&old), web);
    fs::remove_dir_all(&old).unwrap();
    let third = world.id(&world.plain("a/api"));
    assert_ne!(third, id);
    // git removes what it ignores.
    fs::remove_dir_all(new.join(".devdb")).unwrap();
    assert_eq!(world.id(&new), id);
    assert!(new.join(".devdb/identity.json").exists());
    copy(&new, &world.path("a/copy"));
    assert_ne!(world.id(&world.path("a/copy")), id);
    assert_eq!(world.id(&new), id);
    // The whole checkout is copied, then moved.
    copy(&top, &world.path("b"));
    assert_ne!(world.id(&world.path("b/backend")), id);
    assert_eq!(world.id(&new), id);
    fs::rename(&top, world.path("c")).unwrap();
    fs::remove_dir_all(world.path("c/backend/.devdb")).unwrap();
    assert_eq!(world.id(&world.path("c/backend")), id);
    // Out of the checkout, and a copy of the whole while the project is on another branch.
    fs::rename(world.path("c/backend"), world.path("out")).unwrap();
    assert_eq!(world.id(&world.path("out")), id);
    let away = world.id(&world.plain("c/away"));
    fs::remove_dir_all(world.path("c/away")).unwrap();
    copy(&world.path("c"), &world.path("d"));
    assert_ne!(world.id(&world.plain("d/away")), away);
    assert_eq!(world.id(&world.plain("c/away")), away);
    // A copied worktree shares the git directory with its original.
    let tree = world.plain("tree");
    fs::create_dir_all(world.path("c/.git/worktrees/tree")).unwrap();
    fs::write(world.path("c/.git/worktrees/tree/HEAD"), "ref: refs/heads/tree\n").unwrap();
    fs::write(tree.join(".git"), "gitdir: ../c/.git/worktrees/tree\n").unwrap();
    let id = world.id(&world.plain("tree/api"));
    copy(&tree, &world.path("tree2"));
    assert_ne!(world.id(&world.path("tree2/api")), id);
    fs::remove_dir_all(world.path("tree2/api/.devdb")).unwrap();
    assert_ne!(world.id(&world.path("tree2/api")), id);
    fs::remove_dir_all(world.path("tree/api/.devdb")).unwrap();
    assert_eq!(world.id(&world.path("tree/api")), id);
}

/// The `.git` files of both lead to the same git directory.
#[test]
fn a_copied_worktree_stays_a_copy_in_its_originals_place() {
    let world = World::new();
    let main = world.checkout("main");
    fs::create_dir_all(main.join(".git/worktrees/tree")).unwrap();
    fs::write(main.join(".git/worktrees/tree/HEAD"), "ref: refs/heads/tree\n").unwrap();
    let (tree, copied) = (world.plain("tree"), world.path("copied"));
    fs::write(tree.join(".git"), "gitdir: ../main/.git/worktrees/tree\n").unwrap();
    let id = world.id(&tree);
    copy(&tree, &copied);
    let of_copy = world.id(&copied);
    assert_ne!(of_copy, id);
    fs::rename(&tree, world.path("old")).unwrap();
    fs::rename(&copied, &tree).unwrap();
    assert_eq!(world.id(&tree), of_copy);
}

#[test]
fn eight_at_once_agree() {
    let world = World::new();
    let (fresh, plain, root) = (world.checkout("a"), world.plain("b"), world.checkout("c"));
    let below = world.plain("a/below");
    let id = world.id(&root);
    copy(&root, &world.path("copy"));
    for root in [fresh, plain, below, world.path("copy")] {
        let ids: HashSet<String> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| world.id(&root))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert!(!ids.contains(&id));
    }
    let samples: HashSet<String> = std::thread::scope(|scope| {
        let sample = || sample_id(&world.path("data"), &Environment::from_pairs([("A", "b")]));
        let all: Vec<_> = (0..8).map(|_| scope.spawn(sample)).collect();
        all.into_iter().map(|one| one.join().unwrap().unwrap().id).collect()
    });
    assert_eq!(samples.len(), 1);
}

#[test]
fn every_ci_job_is_a_project_of_its_own_and_none_is_recorded() {
    let world = World::new();
    let root = world.checkout("a");
    let job = |number: &str| {
        let environment = Environment::from_pairs([("CI_JOB_ID", number)]);
        project_id(&root, &world.path("data"), &environment).unwrap().id
    };
    assert_eq!(job("1"), job("1"));
    assert_ne!(job("1"), job("2"));
    let outside = world.id(&root);
    assert_ne!(outside, job("1"));
    assert_eq!(world.id(&root), outside);
    let sample =
        |environment: &Environment| sample_id(&world.path("data"), environment).unwrap().id;
    let ci = Environment::from_pairs([("CI_JOB_ID", "1")]);
    assert_ne!(sample(&ci), sample(&Environment::from_pairs([("A", "b")])));
}

#[cfg(target_os = "linux")]
#[test]
fn a_checkout_that_cannot_be_written_is_known_by_its_path() {
    // Not even root may create anything there.
    let root = Path::new("/sys/kernel");
    let world = World::new();
    let first = world.of(root);
    assert!(first.notes[0].contains("cannot write to"), "{first:?}");
    assert_eq!(world.id(root), first.id);
    assert_ne!(World::new().id(root), first.id, "another machine's is another");
}

#[test]
fn damaged_and_newer_records_are_refused() {
    let world = World::new();
    let root = world.plain("a");
    world.id(&root);
    let path = root.join(".devdb/identity.json");
    let refused = |text: &str| {
        fs::write(&path, text).unwrap();
        project_id(&root, &world.path("data"), &Environment::from_pairs([("A", "b")])).unwrap_err()
    };
    let damaged = refused("{\"schema\": 1}");
    assert!(damaged.message().contains("is damaged"), "{damaged}");
    assert!(damaged.hints()[0].starts_with("rm "));
    assert!(refused("").message().contains("is damaged"));
    let newer = refused("{\"schema\": 2, \"anything\": true}");
    assert!(newer.message().contains("newer devdb"), "{newer}");
    let gone =
        project_id(&world.path("no"), &world.path("data"), &Environment::from_pairs([("A", "b")]));
    assert!(gone.unwrap_err().message().contains("cannot find the project's directory"));
}

/// `up` on a running instance must cost next to nothing; git would cost a hundred times this.
#[test]
fn a_known_project_is_found_within_a_millisecond() {
    let world = World::new();
    let root = world.checkout("a");
    world.id(&root);
    let began = std::time::Instant::now();
    for _ in 0..100 {
        world.id(&root);
    }
    let each = began.elapsed() / 100;
    assert!(each < std::time::Duration::from_millis(1), "{each:?}");
}
