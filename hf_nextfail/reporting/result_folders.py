"""What the folders of `hub_cards/results` show, and what made them."""

from collections.abc import Sequence
from typing import NamedTuple


class Folder(NamedTuple):
    """What a folder of records shows, what made it, and its pictures: pairs of a file and what it shows."""

    about: str
    commands: str
    pictures: Sequence[tuple[str, str]] = ()


FOLDERS = {
    "contrast": Folder(
        "The contrast at the top of the README, with two threads. One thread rounds otherwise: a seed then stops at "
        "another step.",
        "accelerate launch recipes/finetune.py",
        [("accuracy.png", "Validation accuracy: teacher forcing stays at one half, the other two reach 1")],
    ),
    "grid_contrast": Folder(
        "The same contrast for three families and three seeds: GPT-2 and Llama of 6 layers, Mamba of 4, width 64, "
        "one thread a run. The learning rate is 1e-3, of Mamba 3e-3. All trainings have a budget of 1,500 steps and "
        "end before it only when they have solved the validation rows, so what fails had as many steps as any "
        "cure.\n\n"
        "- **Teacher forcing fails** for every seed: GPT-2 and Llama on G(2,4), Mamba on G(2,5). The first step is a "
        "guess, and all others are right.\n"
        "- **On G(2,4), two of three seeds of Mamba solve the task under teacher forcing, too**, after 1,000 and "
        "1,100 steps, where reversed paths take 500 to 600. At step 600 they still guess. So where the failure "
        "begins depends on family and budget: for GPT-2 at paths of 3 nodes, for Mamba between 4 and 5.\n"
        "- **Reversed paths cure it.** One seed of GPT-2 is not quite there after 1,500 steps.\n"
        "- **Teacherless training cures it on paths of 3 nodes**: every seed of GPT-2 and Mamba; of Llama, one of "
        "three within this budget.",
        "OMP_NUM_THREADS=1 nextfail reproduce grid_contrast --jobs 2",
        [("accuracy.png", "Test accuracy of the three trainings, by family")],
    ),
    "grid_cpu": Folder(
        "The small GPT-2 (4 layers of width 128) on five graphs: 200,000 training rows (2,000 where the table says "
        "so), batches of 256, one thread a run, 20,000 test graphs.\n\n"
        "- **Teacher forcing stays at 1/d although it fits the training rows.** It learns 2,000 rows by heart (train "
        "accuracy 1.000) and still guesses on test graphs. On new rows it had at least as many steps as each cure "
        "took.\n"
        "- **It follows edges.** Where this can be told (paths of 4 and more nodes), everything after the first step "
        "is right once the first step is given (*Clever Hans* below).\n"
        "- **Reversed paths cure it** on every graph; one seed of G(3,3) is not there after 3,000 steps.\n"
        "- **Teacherless training cures it on G(2,3).** G(3,3) is just short of it: 0.989 after 6,000 steps. On "
        "longer paths this model does not get there: 0.006 on G(2,4) after 6,000, 0.000 on G(2,5) after 3,000. These "
        "three graphs have one seed each; G(3,3) and G(2,4) had failed with 3,000 steps before.",
        "nextfail reproduce grid_cpu --jobs 2                          # all runs: five to six hours of one core\n"
        "nextfail reproduce grid_cpu --only 'memorizing-d3_l3_n50-*'   # some: TRAINING-GRAPH-MODEL-SEED",
        [("accuracy.png", "Test accuracy by graph and training")],
    ),
    "objectives_cpu": Folder(
        "Objectives on star graphs over 20 labels, a part of the protocol `small`, all with one budget: the small "
        "GPT-2, batches of 256, learning rate 1e-3, one thread, 2,000 steps. A run ends before that only if its "
        "validation accuracy reaches 0.995. Options are the defaults of each objective. Some runs leave the plateau "
        "of one half late (`fsp` on G(2,4) after step 1,000 or 1,900): more steps would tell more. Accuracy of one "
        "half with *Clever Hans* at 1.000 is a guess at the fork; far below, the nodes in between are not found "
        "either.\n\n"
        "- **One node more between start and goal makes the difference for some**: `mtp`, `teacherless` and `top` "
        "solve G(2,3) with every seed and G(2,4) with none; `jtp` and `nextlat` solve G(2,4) with every seed and "
        "G(2,5) with none.\n"
        "- **Seeds part**: on G(2,3), `insertion` solves it with one seed and guesses with two, `fsp` reaches 0.96 "
        "with one and guesses with two, `ds_mtp` reaches 0.75 to 0.99. On G(2,5), `bst` reaches 0.80, 0.85 and 0.999, "
        "`jtp` 0.49 to 0.82, `nextlat` 0.44 to 0.76. A mean over seeds hides this.\n"
        "- **Others guess on all three**: `hybrid`, `target_masking`, `trelawney` and `mutor`, as teacher forcing "
        "does. `masked_diffusion` guesses on G(2,3) and, as `teacherless` and `insertion` do, writes less than one "
        "path in a hundred on G(2,5).\n"
        "- Reversed paths solve all three, and the longer ones in fewer steps.",
        "export OMP_NUM_THREADS=1\n"
        "nextfail reproduce small --only '*-d2_l[345]_n20-gpt2-*' --jobs 2 # 144 runs: some 25 hours of one core\n"
        "nextfail reproduce small --only 'nextlat-d2_l4_n20-gpt2-*'        # some: TRAINING-GRAPH-MODEL-SEED\n"
        "nextfail leaderboard                                              # ranks them",
        [("accuracy.png", "Test accuracy of each objective, a dot a seed")],
    ),
    "small": Folder(
        "Other tasks under the protocol `small`, one seed each, so a beginning: [the report](small/report.md) "
        "shows them side by side. What is solved on star graphs need not be solved here:\n\n"
        "- **`tree_star`**: teacher forcing and hybrid guess at the root. `nextlat` solves it after 1,100 steps. "
        "Reversed paths need no plan, and after 2,000 steps they still are a coin toss at their one node in between: "
        "no cure within this budget.\n"
        "- **`crossing_star`**: teacher forcing and hybrid follow edges and guess among three arms. Reversed paths "
        "solve it after 300 steps. `nextlat` has not learnt to follow edges after 2,000.\n"
        "- **`minimal_planning`**: `nextlat` solves it after 900 steps. Teacher forcing takes the right stream in two "
        "of three problems: where the crossing stands one edge before the goal, that edge names it; elsewhere, it "
        "does hardly better than a guess (0.53 and 0.56).\n"
        "- **`in_weights_star`**, the control: no prompt shows the graph, and teacher forcing finds the first step "
        "away from the root, of 100 arms, where it guesses between two that stand in a prompt. It writes every path "
        "to a held-out leaf of 500 arms of 4 nodes, 0.951 of 500 arms of 5, 0.778 of 100 arms of 5 (18 leaves, so "
        "± 0.1): more arms, more to learn from. The protocol has the first of these.\n"
        "- **`sibling_discovery`**: creativity is 0.23 to 0.25 for all four, with a standard error of 0.013: no "
        "difference that one seed could show. The accuracy of a creative task says only whether its one likeliest "
        "output is coherent. The reversed run names one child twice there, and draws 98 % coherent ones.",
        "export OMP_NUM_THREADS=1\n"
        "nextfail reproduce small --jobs 2 "
        "--only={teacher_forced,reversed,hybrid,nextlat}-{tree,crossing}_star-'*-seed_42'\n"
        "nextfail reproduce small --jobs 2 --only={teacher_forced,nextlat}-minimal_planning-'*-seed_42' "
        "--only='teacher_forced-in_weights_star-*-seed_42'\n"
        "nextfail reproduce small --jobs 2 "
        "--only={teacher_forced,reversed,hybrid,nextlat}-sibling_discovery-'*-seed_42'\n"
        "nextfail report hub_cards/results/small",
    ),
    "g2_5_small": Folder(
        "The paper's graph, with a picture of what each training learns when. All numbers and examples: "
        "[the report](g2_5_small/report.md). All paths end at the goal, so the last node needs no edge at all, and "
        "teacher forcing learns just that: led into a wrong arm, it follows the arm and writes the goal at its end.",
        "R=recipes/star_graph\nexport OMP_NUM_THREADS=1\n"
        "accelerate launch recipes/finetune.py --config $R/{teacher_forced,reversed}/g2_5_small.yaml\n"
        "accelerate launch recipes/finetune.py --config $R/teacherless/g2_5_small.yaml --max_steps 1500\n"
        "nextfail report runs/star_graph/*/d2_l5_n50*-gpt2",
        [
            ("errors.png", "Teacher forcing writes the right arm or jumps from a wrong one to the goal, half each"),
            ("positions.png", "All nodes between start and goal stay at one half under teacher forcing"),
            ("learning.png", "Teacher forcing learns to follow edges by step 200, and the first step never"),
        ],
    ),
    "mamba_g2_4": Folder(
        "A wider Mamba (4 layers of width 128, state 16) on G(2,4). Teacher forcing had 700 steps, fewer than "
        "teacherless training takes: these records do not show that it fails for good, and in `grid_contrast` a Mamba "
        "solves G(2,4) with it after 1,000. "
        "Without a true node to follow, Mamba learns from the goal backwards: the node before the goal by step 400, "
        "the hard token only after step 1,000 (teacherless, seed 42).",
        "accelerate launch recipes/finetune.py --seed SEED --output_dir runs/mamba_SEED \\\n"
        "    --config recipes/star_graph/{teacher_forced,teacherless,reversed}/smoke_mamba.yaml",
        [
            ("accuracy.png", "Validation accuracy of the three trainings"),
            ("positions.png", "Teacherless Mamba gets the node before the goal right long before the hard token"),
        ],
    ),
    "mamba_g2_3": Folder(
        "On paths of 3 nodes Mamba solves the task with all three trainings, teacher forcing included: the hard node "
        "stands beside the goal in the prompt, one lookup away. The contrast begins with paths of 4 nodes.",
        "R=recipes/star_graph   # younger than the records, which hold the options that they ran with\n"
        "accelerate launch recipes/finetune.py --config $R/{teacher_forced,teacherless}/smoke_mamba.yaml \\\n"
        "    --dataset_config d2_l3_n20\n"
        "accelerate launch recipes/finetune.py --config $R/reversed/smoke_mamba.yaml --dataset_config d2_l3_n20_rev",
    ),
    "authors_file": Folder(
        "Checkpoints of `grid_cpu` on the [file of the paper's authors]"
        "(https://github.com/gregorbachmann/Next-Token-Failures/tree/main/data/datasets/graphs), 20,000 rows of which "
        "74 % hash to our train split. It gives the accuracy of our own test rows: the largest of six differences is "
        "2.2 standard errors.",
        "nextfail evaluate runs/grid_cpu/star_graph/teacher_forced/reversed-d2_l5_n50-gpt2-seed_42 "
        "--test_file deg_2_path_5_nodes_50_test_20000.txt",
    ),
    "smollm2": Folder(
        "SmolLM2-135M-Instruct, a pretrained model, and star graphs in plain English. [How to make the "
        "checkpoint](../../recipes/README.md#models-that-were-never-trained-on-it), from a file of 4 bits. One "
        "thread; 64 rows leave ± 0.06.\n\n"
        "- **Never trained on the task, it guesses.** Asked by its chat template, it finds the right one of the two "
        "first steps the likelier in half of the rows, and both together have 1.5 to 4 % of the probability. Half of "
        "what it writes, about 50 tokens without examples, names no path; of three nodes or more, hardly "
        "any names the right one.\n"
        "- **Fine-tuned on G(2,3), it solves it, under teacher forcing**: in full after 150 steps of 16 rows, by "
        "LoRA after 300. The hard node stands beside the goal in one edge, one lookup away, as it does where Mamba "
        "solves it.\n"
        "- **On G(2,4) the same training guesses**, with twice the steps that it took on G(2,3): 0.454 ± 0.022 of 500 "
        "test graphs.\n"
        "- **What it learnt is that lookup.** Asked for paths of other lengths, it writes three nodes, and on paths "
        "of 4 and 5 its first step is a guess (blue below).",
        "export OMP_NUM_THREADS=1\n"
        "nextfail depth SmolLM2-135M-Instruct --chat --path_lengths 2 3 4 5 --num_nodes 20 --num_rows 64\n"
        "accelerate launch recipes/finetune.py --config star_graph/teacher_forced/g2_3_smollm2{,_lora} \\\n"
        "    --model_name_or_path SmolLM2-135M-Instruct\n"
        "accelerate launch recipes/finetune.py --config star_graph/teacher_forced/g2_3_smollm2 \\\n"
        "    --model_name_or_path SmolLM2-135M-Instruct --dataset_config d2_l4_n20_instruct --num_test 500\n"
        "nextfail depth runs/star_graph/teacher_forced/d2_l3_n20_instruct-SmolLM2-135M-Instruct "
        "--path_lengths 2 3 4 5 --num_nodes 20 --num_rows 64\n"
        "nextfail report hub_cards/results/smollm2   # both in one picture",
        [
            (
                "depth.png",
                "Untrained, the first step is a guess at every path length; fine-tuned on paths of 3 nodes, it is "
                "right on these and a guess on 4 and 5",
            ),
        ],
    ),
    "grpo": Folder(
        "Reinforcement learning by our verifier (GRPO of TRL, learning rate 1e-4, 300 steps of 16 prompts with 8 "
        "completions each: 4,800 graphs), from different starts of one small GPT-2. *First* and *last "
        "rewards* are means "
        "over 50 steps; *learnt from* is the share of the prompts whose completions did not all earn the same.\n\n"
        "- **A guesser has a signal, and learns nothing visible from it.** A start that never plans "
        "draws both arms: on "
        "two thirds to four fifths of the prompts, some of its completions are right and others wrong. So a policy "
        "without a plan does get a signal, but its accuracy stays at one half.\n"
        "- **A start that plans a little climbs.** Hybrid training, stopped at 0.6, gains 0.07 to 0.08 "
        "on G(2,3), with "
        "both seeds; these are seeds of reinforcement learning, from one start.\n"
        "- **That does not follow from its accuracy alone.** On G(2,4), where hybrid training of this "
        "model still guesses "
        "after 1,500 steps, `top` stopped at 0.6 does not climb in as many steps. At a learning rate of "
        "1e-3 its rewards "
        "fell below one half. More steps would tell more.",
        "R=recipes/star_graph\n"
        "export OMP_NUM_THREADS=1\n"
        "accelerate launch recipes/finetune.py --config $R/teacherless/contrast.yaml --objective teacher_forced "
        "--max_steps 300\n"
        "accelerate launch recipes/finetune.py --config $R/teacherless/contrast.yaml --objective hybrid "
        "--stop_at_accuracy 0.6\n"
        "accelerate launch recipes/finetune.py --config $R/teacher_forced/contrast.yaml --max_steps 600   # G(2,4)\n"
        "accelerate launch recipes/finetune.py --config $R/teacher_forced/contrast.yaml --objective hybrid "
        "--max_steps 1500\n"
        "accelerate launch recipes/finetune.py --config $R/teacher_forced/contrast.yaml --objective top "
        "--max_steps 2000 --stop_at_accuracy 0.6\n"
        "python recipes/grpo.py --max_steps 300 --num_test 5000 --seed SEED --output_dir "
        "runs/grpo/GRAPH-START-seed_SEED \\\n"
        "    --model_name_or_path runs/star_graph/START/GRAPH-gpt2   # each; minutes\n"
        "# the last run of G(2,3) drew all four: --picture rewards.png --beside and the folders of the other three",
        [
            (
                "rewards.png",
                "Rewards on G(2,3): a teacher-forced start stays at one half or below, a hybrid start climbs",
            )
        ],
    ),
}
