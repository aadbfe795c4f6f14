fn main() { for d in extapp::api::definitions() { println!("---"); println!("{}", serde_saphyr::to_string(&d).unwrap()); } }
