//! A character bigram model: a table that says which letter follows which, learnt from names, and new names out of it.
//! `cargo run --example character_bigram`
use autograd::{AdamW, AdamWConfig, Init, ParamsBuilder, ops};
use kernels::{Device, Ids, Rng, Sampling, sample};

const NAMES: &str = "emma olivia ava isabella sophia charlotte mia amelia harper evelyn abigail emily ella elizabeth \
                     camila luna sofia avery mila aria scarlett penelope layla chloe victoria madison eleanor grace \
                     nora riley zoey hannah hazel lily ellie violet lillian zoe stella aurora natalie emilia leah";

fn main() {
    // 0 begins and ends a name, 1 to 26 are letters
    let ids: Vec<u32> =
        NAMES.bytes().chain([b' ']).map(|c| if c == b' ' { 0 } else { (c - b'a' + 1) as u32 }).collect();
    let (from, to) = (Ids::new([&[0], &ids[..ids.len() - 1]].concat()), Ids::new(ids));

    let mut builder = ParamsBuilder::default();
    let table = builder.add("table", &[27, 27], Init::Zeros, true, Rng::new(0));
    let mut params = builder.build(&Device::Cpu);
    let mut adamw = AdamW::new(AdamWConfig::default(), &params);
    let mut grads = params.grads();
    for step in 0..=100 {
        grads.zero();
        let (loss, ()) = params.backprop(&mut grads, |w| {
            let logits = ops::embed(&w[table], &from); // [N, 27]
            (-ops::mean(&ops::logprob(&logits, &to)), ())
        });
        adamw.step(&mut params, &grads, 0.1, None).expect("finite gradients");
        if step % 20 == 0 {
            println!("step {step:>3}  loss {loss:.3}"); // from ln 27
        }
    }

    let (w, rng) = (params.frozen(), Rng::new(7));
    for name in 0..8 {
        let (mut last, mut text) = (0, String::new());
        for position in 0..12 {
            let logits = ops::embed(&w[table], &Ids::new(vec![last]));
            let (next, _) = sample(logits.value(), &Sampling::temperature(1.0), rng, &[name], &[position]);
            match next[0] {
                0 => break,
                letter => text.push((b'a' + letter as u8 - 1) as char),
            }
            last = next[0];
        }
        println!("{text}");
    }
}
