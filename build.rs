//! A new or changed file of the sample project means that the binary, which embeds it, is built
//! anew. (`include_dir!` makes the compiler watch the files it found, not the directory.)

fn main() {
    for directory in ["migrations", "seeds", "templates"] {
        println!("cargo::rerun-if-changed={directory}");
    }
}
