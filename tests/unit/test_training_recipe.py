"""Recipes: what they hold, what they refuse, and the learning rate that follows."""

from __future__ import annotations

import pytest

from harness.core.errors import ConfigError, UnknownNameError
from harness.training.recipe import Recipe, rate_factor, read_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_valid_and_bear_their_name(name):
    assert read_recipe(name).name == name


def test_cryo_bench_is_its_published_protocol():
    recipe = read_recipe("cryo-bench")
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.weight_decay, recipe.betas) == (80, 8, 1e-4, 0.05, (0.9, 0.999))
    assert (recipe.schedule, recipe.milestones, recipe.gamma) == ("milestones", (0.6, 0.9), 0.1)
    assert (recipe.precision, recipe.validate_every, recipe.patience, recipe.flips, recipe.rot90) == ("32", 5, None, False, False)


def test_overrides_replace_fields_and_none_does_not():
    recipe = read_recipe("quick", {"epochs": 7, "lr": None})
    assert recipe.epochs == 7
    assert recipe.lr == read_recipe("quick").lr


def test_a_file_takes_its_own_name(tmp_path):
    (tmp_path / "mine.yaml").write_text("epochs: 2\n")
    assert read_recipe(tmp_path / "mine.yaml") == Recipe(name="mine", epochs=2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch: 2", "unknown key 'epoch'"),
        ("epochs: 0", "epochs"),
        ("lr: -1", "lr"),
        ("schedule: step", "schedule"),
        ("milestones: [0.9, 0.6]", "milestones"),
        ("betas: [0.9, 1.0]", "betas"),
        ("precision: fp8", "precision"),
        ("epochs: [", "not valid YAML"),
        ("- epochs", "valid dictionary"),
    ],
)
def test_a_wrong_recipe_is_refused_and_says_where(tmp_path, text, said):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_recipe(tmp_path / "mine.yaml")


def test_a_wrong_override_is_refused():
    with pytest.raises(ConfigError, match="epochs"):
        read_recipe("quick", {"epochs": 0})


def test_an_unknown_name_gives_near_matches():
    with pytest.raises(UnknownNameError, match="'quick'"):
        read_recipe("quikc")


def test_milestones_lower_the_rate_at_shares_of_all_steps():
    recipe = Recipe(schedule="milestones", milestones=(0.6, 0.9), gamma=0.1)
    assert [rate_factor(recipe, step, 10) for step in (0, 5, 6, 8, 9)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_cosine_falls_from_one_to_zero_after_a_linear_warmup():
    recipe = Recipe(schedule="cosine", warmup=0.2)
    assert [rate_factor(recipe, step, 10) for step in (0, 1, 2, 6, 10)] == pytest.approx([1 / 3, 2 / 3, 1, 0.5, 0])


def test_constant_stays():
    assert {rate_factor(Recipe(schedule="constant"), step, 10) for step in range(10)} == {1.0}
