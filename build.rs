//! cargo builds the binary again when a file that it embeds is new or changed. (`include_dir!` makes
//! the compiler watch the files that it found, not the directory.)

fn main() {
    for directory in ["migrations", "seeds", "templates", "docs"] {
        println!("cargo::rerun-if-changed={directory}");
    }
}
