"""Data sets by writer, role and subject, tables and medical images, on small files in the real formats."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image

from robustbench_fl import run_cell
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import MissingDataError, UsageError
from robustbench_fl.data.digests import file_digest
from robustbench_fl.data.sets import medmnist
from robustbench_fl.data.sets.har import Har
from robustbench_fl.data.sets.shakespeare import LETTERS

CELL = {"aggregator": "median", "attack": "sign_flip", "malicious": 0.34, "clients": 3, "rounds": 1}
CELL |= {"root_size": 3, "validation": 0.0, "batch_size": 8, "partition": "by_column"}


def leaf(folder: Path, name: str, samples) -> None:
    """Write LEAF's files of four users, two files a split."""
    for split in ("train", "test"):
        place = folder / name / "data" / split
        place.mkdir(parents=True)
        for number in range(2):
            users = [f"user {2 * number + i}" for i in range(2)]
            held = {user: dict(zip("xy", samples(user), strict=True)) for user in users}
            counts = [len(held[user]["y"]) for user in users]
            content = {"users": users, "num_samples": counts, "user_data": held}
            (place / f"all_data_{number}_niid.json").write_text(json.dumps(content))


def written(user: str):
    return [[int(user[-1]) / 3] * 783 + [k / 11] for k in range(12)], list(range(12))


def spoken(user: str):
    text = (LETTERS * 3)[int(user[-1]) :]
    return [text[k : k + 80] for k in range(12)], [text[k + 80] for k in range(12)]


def done(folder: Path, dataset: str, model: str, **changed):
    cell = run_cell(**{**CELL, "dataset": dataset, "model": model, "data_dir": folder, **changed})
    assert cell.status == "done"
    return cell.record


def test_femnist(tmp_path: Path) -> None:
    leaf(tmp_path, "femnist", written)
    arrays = make("datasets", "femnist").load(tmp_path)
    assert arrays.train_images.shape == (48, 1, 28, 28)
    assert arrays.train_images[12:14, 0, 27, 26:].tolist() == [[85, 0], [85, 23]]
    assert arrays.columns["users"].tolist() == [user for user in range(4) for _ in range(12)]
    assert arrays.train_labels[:12].tolist() == list(range(12))
    assert (arrays.n_classes, arrays.mean[0]) == (62, pytest.approx(arrays.train_images.mean() / 255))
    record = done(tmp_path, "femnist", "logistic")
    assert (
        record.federation.sizes == [12 * n - taken for n, taken in zip((2, 1, 1), (1, 1, 1))]
        or sum(record.federation.sizes) == 45
    )
    path = tmp_path / "femnist/data/test/all_data_0_niid.json"
    for content, says in (
        ("{}", "no JSON of LEAF .KeyError"),
        ('{"user_data": {"a": {"x": [[0]], "y": []}}}', "are no lists of equal length"),
        ('{"user_data": {"a": {"x": [[0]], "y": [1]}}}', "no list of 784 pixels"),
        ('{"user_data": {"a": {"x": [%s], "y": ["A"]}}}' % ([0.5] * 784), "more than whole numbers"),
        ('{"user_data": {"a": {"x": [%s], "y": [62]}}}' % ([0.5] * 784), "holds the label 62"),
    ):
        path.write_text(content)
        with pytest.raises(UsageError, match=f"data set femnist is damaged: .*{says}"):
            make("datasets", "femnist").load(tmp_path)


def test_shakespeare_and_its_network(tmp_path: Path) -> None:
    leaf(tmp_path, "shakespeare", spoken)
    dataset = make("datasets", "shakespeare")
    arrays = dataset.load(tmp_path)
    assert arrays.train_images.shape == (48, 80)
    assert arrays.train_images[13].tolist() == [(1 + 1 + k) % 80 for k in range(80)]
    assert arrays.train_labels[13] == 2
    assert dataset.samples(["é" * 80]).tolist() == [[1] * 80]  # a space
    assert make("models", "char_lstm").build((80,), 80).n_params == 817_872
    small = "char_lstm(hidden=4, layers=1)"
    done(tmp_path, "shakespeare", small)
    for changed, says in (
        ({"model": "mlp"}, "mlp takes images or numbers; shakespeare holds text"),
        ({"aggregator": "fedredefense"}, "fedredefense takes images or numbers; shakespeare holds text"),
        ({"attack": "badnets"}, "badnets takes images; shakespeare holds text"),
        ({"augment": "crop_flip"}, r"augment = crop_flip.* changes images; shakespeare holds text"),
    ):
        point = {**CELL, "dataset": "shakespeare", "model": small, **changed}
        cell = run_cell(**point, data_dir=tmp_path).record
        assert cell.status == "infeasible"
        assert re.search(says, str(cell.reason))


def test_har(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for split, n in (("train", 24), ("test", 6)):
        folder = tmp_path / "UCI HAR Dataset" / split
        folder.mkdir(parents=True)
        features = rng.uniform(-1, 1, (n, 561))
        np.savetxt(folder / f"X_{split}.txt", features, fmt="%16.7e")
        np.savetxt(folder / f"y_{split}.txt", np.arange(n) % 6 + 1, fmt="%d")
        np.savetxt(folder / f"subject_{split}.txt", np.arange(n) // 8 + 1, fmt="%d")
    monkeypatch.setattr(Har, "sizes", (24, 6))
    arrays = make("datasets", "har").load(tmp_path)
    assert arrays.train_images.shape == (24, 561)
    assert arrays.train_images.dtype == np.float32
    assert arrays.train_labels[:7].tolist() == [0, 1, 2, 3, 4, 5, 0]
    assert arrays.columns["users"].tolist() == [1] * 8 + [2] * 8 + [3] * 8
    record = done(tmp_path, "har", "mlp(hidden=[8])", aggregator="fltrust")
    assert (sum(record.federation.sizes), max(record.federation.sizes) <= 8) == (21, True)  # a subject each
    done(tmp_path, "har", "mlp(hidden=[8])", aggregator="deepsight", attack="ipm")
    path = tmp_path / "UCI HAR Dataset/train/X_train.txt"
    for content, says in ((b"1 2\n3\n", "no table of numbers"), (b"1 2\n", "lines have 2 numbers, not 561")):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=f"har is damaged: .*X_train.txt: .*{says}"):
            make("datasets", "har").load(tmp_path)


@pytest.mark.parametrize("form", ["one-hot", "numbers", "csv"])
def test_purchase100(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "purchase100"
    folder.mkdir()
    features = np.random.default_rng(0).integers(0, 2, (500, 600))
    labels = np.arange(500) % 100
    if form == "csv":
        np.savetxt(folder / "dataset_purchase", np.c_[labels + 1, features], fmt="%d", delimiter=",")
    else:
        stored = np.eye(100)[labels] if form == "one-hot" else labels
        np.savez(folder / "purchase100.npz", features=features.astype(float), labels=stored)
    arrays = make("datasets", "purchase100").load(tmp_path)
    assert arrays.train_images.shape == (400, 600)
    assert np.bincount(arrays.train_labels).tolist() == [4] * 100
    assert np.bincount(arrays.test_labels).tolist() == [1] * 100
    rows = {row.tobytes(): label for row, label in zip(features.astype(np.uint8), labels, strict=True)}
    assert [rows[row.tobytes()] for row in arrays.test_images] == arrays.test_labels.tolist()
    if form == "csv":
        done(tmp_path, "purchase100", "mlp(hidden=[8])", partition="dirichlet(alpha=1)")


def test_medmnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "medmnist").mkdir()
    path = tmp_path / "medmnist/pneumoniamnist.npz"
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28)).astype(np.uint8)
    labels = (np.arange(20) % 2).astype(np.uint8)[:, None]
    parts = {"train": slice(0, 12), "val": slice(12, 14), "test": slice(14, 20)}
    held = {f"{part}_images": images[rows] for part, rows in parts.items()}
    np.savez(path, **held, **{f"{part}_labels": labels[rows] for part, rows in parts.items()})
    dataset = make("datasets", "medmnist(name=pneumoniamnist)")
    with pytest.raises(UsageError, match=r"pneumoniamnist.npz: its MD5 is .*\nFetch pneumoniamnist.npz"):
        dataset.load(tmp_path)
    facts = medmnist.FACTS["pneumoniamnist"]._replace(md5=file_digest(path, "md5"), train=12, test=6)
    monkeypatch.setitem(medmnist.FACTS, "pneumoniamnist", facts)
    arrays = dataset.load(tmp_path)
    assert np.array_equal(arrays.train_images[:, 0], images[:12])
    assert arrays.test_labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert arrays.mean[0] == pytest.approx(images[:12].mean() / 255)
    done(tmp_path, "medmnist(name=pneumoniamnist)", "logistic", partition="iid")
    with pytest.raises(UsageError, match="chestmnist"):
        make("datasets", "medmnist(name=chestmnist)")


def saved(folder: Path, **changed) -> None:
    """Write what ``DatasetDict.save_to_disk`` does: Arrow streams, named by ``state.json``."""
    for split, n in (("train", 18), ("test", 4)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        pictures = []
        for k in range(n):
            Image.new("RGB", (9, 8), (10 * k, k, 99 - k)).save(picture := io.BytesIO(), "PNG")
            pictures.append({"bytes": picture.getvalue(), "path": f"{k}.png"})
        columns = {"image": pictures, "label": [k % 2 for k in range(n)]}
        columns |= {"writer": [f"w{k % 3}" for k in range(n)], "score": [k / 2 for k in range(n)], **changed}
        table = pyarrow.table({name: values[:n] for name, values in columns.items()})
        with pyarrow.ipc.new_stream(folder / split / "data-00000-of-00001.arrow", table.schema) as stream:
            stream.write_table(table)
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": split}
        (folder / split / "state.json").write_text(json.dumps(state))


def test_hugging_face(tmp_path: Path) -> None:
    saved(tmp_path / "mine")
    dataset = make("datasets", "hf(path=mine, size=8)")
    arrays = dataset.load(tmp_path)
    assert arrays.train_images.shape == (18, 3, 8, 8)
    assert arrays.train_images[7, :, 4, 4].tolist() == [70, 7, 92]
    assert arrays.train_labels[:4].tolist() == [0, 1, 0, 1]
    assert {name: values[:4].tolist() for name, values in arrays.columns.items()} == {"writer": [0, 1, 2, 0]}
    first = dataset.pinned(tmp_path)
    text = "hf(path=mine, size=8, mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5])"
    done(tmp_path, text, "logistic", partition="by_column(column=writer)")
    saved(tmp_path / "mine", label=[1] * 18)
    assert dataset.pinned(tmp_path).digest != first.digest
    for changed, says in (
        ({"image": [{"bytes": None, "path": "/etc/passwd"}] * 18}, "image 0 is not stored in the file"),
        ({"image": [b"no picture"] * 18}, "image 0: it cannot be read as an image"),
        ({"label": [0.5] * 18}, "label holds more than whole numbers"),
    ):
        saved(tmp_path / "mine", **changed)
        with pytest.raises(UsageError, match=f"data set hf is damaged: .*{says}"):
            dataset.load(tmp_path)
    (tmp_path / "mine/test/data-00000-of-00001.arrow").write_bytes(b"no stream")
    with pytest.raises(UsageError, match="no whole Arrow stream"):
        dataset.read(tmp_path, "test")
    (tmp_path / "mine/test/state.json").write_text('{"_data_files": [{"filename": "../train/state.json"}]}')
    with pytest.raises(UsageError, match="which is no file beside it"):
        dataset.read(tmp_path, "test")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("femnist", r"femnist/data/train, femnist/data/test not found in .*\n.*TalwalkarLab/leaf"),
        ("shakespeare", r"shakespeare/data/train.*\n.*preprocess.sh"),
        ("har", r"UCI HAR Dataset/train/X_train.txt.*\n.*archive.ics.uci.edu/dataset/240"),
        ("purchase100", r"purchase100/purchase100.npz not found in .*\n.*privacytrustlab"),
        ("medmnist(name=octmnist)", r"medmnist/octmnist.npz not found in .*\n.*zenodo.org"),
        ("hf(path=mine)", r"no state.json in .*mine/train nor in .*mine/test"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(MissingDataError, match=says):
        make("datasets", name).load(tmp_path)


def test_a_folder_in_place_of_a_file_is_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "medmnist/pathmnist.npz").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"pathmnist.npz: it cannot be read \(.*no ordinary file"):
        make("datasets", "medmnist").prepare(tmp_path)
