"""``data`` and ``partition`` as a user calls them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner, Result
from torchvision import datasets

from robustbench_fl.api.build import make
from robustbench_fl.cli.main import cli
from robustbench_fl.core.errors import MissingDataError
from robustbench_fl.data.sets.svhn import Svhn
from robustbench_fl.data.shared import copy_of, share


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)))


def said(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 8, 8)).astype(np.uint8)
    np.savez(
        tmp_path / "own.npz", x_train=images, y_train=np.arange(60) % 3, x_test=images[:9],
        y_test=np.arange(9) % 3, users_train=np.arange(60) // 10,
    )  # fmt: skip
    return tmp_path


def test_list_says_what_is_there(place: Path) -> None:
    (place / "FashionMNIST/raw").mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (place / f"FashionMNIST/raw/{name}-ubyte").write_bytes(b"short")
    rows = {
        row["name"]: row for row in json.loads(said("data", "list", "--data-dir", place, "--format", "json"))
    }
    assert set(rows) == {
        "cifar10", "cifar100", "cinic10", "digits", "emnist", "fashion_mnist", "femnist", "har", "hf",
        "image_folder", "medmnist", "mnist", "npz", "purchase100", "shakespeare", "svhn", "synthetic",
    }  # fmt: skip
    assert rows["cifar100"]["shape"] == "3×32×32"
    assert (rows["cifar100"]["classes"], rows["cifar100"]["train"]) == (100, 50000)
    found = {name: row["present"] for name, row in rows.items()}
    assert (found["digits"], found["mnist"], found["fashion_mnist"]) == ("needs no files", "no", "damaged")
    assert all(row["source"] for row in rows.values())


def test_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUSTBENCH_FL_DATA", str(tmp_path / "a"))
    monkeypatch.setenv("ROBUSTBENCH_FL_CACHE", str(tmp_path / "b"))
    assert said("data", "path").strip() == str(tmp_path / "a")
    assert said("data", "path", "--data-dir", tmp_path).strip() == str(tmp_path)
    assert said("data", "path", "--cache").strip() == str(tmp_path / "b")


def test_verify_reads_and_compares(place: Path) -> None:
    command = ("data", "verify", "npz(path=own.npz)", "--data-dir", place, "--format", "json")
    files, train, test, copy = json.loads(said(*command))
    assert files["outcome"] == "no published sum"
    assert train["outcome"] == test["outcome"] == copy["outcome"] == "whole"
    assert train["found"].startswith("60 samples of 1×8×8, 3 classes of 20 to 20, mean 0.")
    dataset = make("datasets", "npz(path=own.npz)").pinned(place)
    share(dataset, place)
    assert json.loads(said(*command))[-1]["found"] == "the same bit for bit"
    found = copy_of(dataset, place)
    assert found is not None
    labels = np.load(found.folder / "train_labels.npy")
    np.save(found.folder / "train_labels.npy", labels[::-1])
    result = call(*command)
    assert result.exit_code == 1
    assert "its digest does not fit: delete " in json.loads(result.stdout)[-1]["found"]


def test_verify_without_a_name_reads_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = {}
    for split, n in (("train", 20), ("test", 10)):
        path = tmp_path / f"{split}_32x32.mat"
        digits = (np.arange(n) % 10 + 1).astype(np.uint8)[:, None]
        scipy.io.savemat(path, {"X": np.ones((32, 32, 3, n), np.uint8), "y": digits})
        sums[split] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(datasets.SVHN, "split_list", sums)
    monkeypatch.setattr(Svhn, "md5", {split: {name: digest} for split, (_, name, digest) in sums.items()})
    monkeypatch.setattr(Svhn, "sizes", (20, 10))
    command = ("data", "verify", "--data-dir", tmp_path, "--format", "json")
    rows = json.loads(said(*command))
    assert [row["outcome"] for row in rows] == ["verified", "verified", "whole", "whole", "whole"]
    path = tmp_path / "test_32x32.mat"
    content, before = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = call(*command)
    assert result.exit_code == 1
    assert [row["outcome"] for row in json.loads(result.stdout)] == ["verified", "differs"]


def test_verify_and_fetch_say_what_is_missing(tmp_path: Path) -> None:
    error = call("data", "verify", "mnist", "--data-dir", tmp_path).exception
    assert isinstance(error, MissingDataError)
    error = call("data", "fetch", "cinic10", "--data-dir", tmp_path).exception
    assert isinstance(error, MissingDataError)
    assert "cannot be downloaded from here" in str(error)
    assert said("data", "fetch", "digits").strip() == "digits needs no files."


def test_partition_report_counts_every_sample(place: Path) -> None:
    common = (
        "-d",
        "npz(path=own.npz)",
        "--data-dir",
        place,
        "--clients",
        6,
        "--root-size",
        0,
        "--validation",
        0,
    )
    text = said("partition", *common, "-p", "by_column", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["samples"]) for row in rows] == [10] * 6
    assert sorted(int(row["class_0"]) for row in rows) == [3, 3, 3, 3, 4, 4]
    for row in rows:
        counts = np.array([int(row[f"class_{c}"]) for c in range(3)]) / 10
        assert float(row["total_variation"]) == pytest.approx(np.abs(counts - 1 / 3).sum() / 2, abs=1e-3)
    table = said("partition", *common, "-p", "iid")
    assert re.search(r"iid +6 +10 +10 +10 ", table)


@pytest.mark.parametrize(("form", "clients", "classes"), [("png", 60, 4), ("svg", 3, 30)])
def test_partition_figure(tmp_path: Path, form: str, clients: int, classes: int) -> None:
    files = [tmp_path / f"{name}.{form}" for name in "ab"]
    for file in files:
        said(
            "partition", "-d", f"synthetic(classes={classes})", "-p", "dirichlet(alpha=0.5)",
            "--clients", clients, "--figure", file,
        )  # fmt: skip
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert first.startswith(b"\x89PNG" if form == "png" else b"<?xml")
    assert len(first) > 5000


def test_partition_refuses(tmp_path: Path) -> None:
    for words, says in (
        (("--figure", tmp_path / "x.gif"), "must end in .png, .svg or .pdf"),
        (("-p", "iid", "-p", "shards"), "name one of each"),
        (("--sanity", "--figure", tmp_path / "x.png"), "Give one of them"),
        (("-p", "by_column"), "has no column 'users'"),
        (("-p", "iid", "--local-epochs", "2"), "--local-epochs is for --sanity"),
        (("-p", "iid", "-m", "linear"), "--model is for --sanity"),
        (("-d", "npz(path=/etc/own.npz)"), "is not in the data directory"),
    ):
        error = call("partition", *words).exception
        assert says in str(error), words
    for flag in ("--lr", "--validation", "--momentum"):
        assert "'nan' is no number" in call("partition", flag, "nan").output
    assert not list(tmp_path.iterdir())


def test_sanity_rows() -> None:
    words = ("--sanity", "-d", "synthetic(samples=600, separation=8)", "-p", "iid", "-p", "shards(k=1)")
    budget = ("--clients", 10, "--rounds", 4, "-m", "logistic")
    iid, shards = json.loads(said("partition", *words, *budget, "--format", "json"))
    assert iid["central_%"] > 95
    assert shards["alone_%"] < 25 < iid["alone_%"] < iid["central_%"]  # a shard holds one class or two
    assert iid["central_%"] == shards["central_%"]  # the same data, start and order
    text = said("partition", *words, *budget)
    assert text.startswith("| dataset")
    assert "after 4 passes over the own data" in text
