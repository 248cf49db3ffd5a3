"""The sound of a video is carried to what is made of it: in time, copied or encoded, and never in the pictures' way."""

from fractions import Fraction

import av
import clips
import numpy as np
import pytest

from ldportrait.video import files
from ldportrait.video.sound import Sound

# source, its sound's codec, target, the codec there
WAYS = [
    ("a.mp4", "aac", "b.mp4", "aac"),
    ("a.mp4", "aac", "b.mov", "aac"),
    ("a.mp4", "aac", "b.webm", "opus"),
    ("a.mov", "pcm_s24le", "b.mov", "pcm_s24le"),
    ("a.mov", "pcm_s24le", "b.mp4", "aac"),
    ("a.webm", "libopus", "b.webm", "opus"),
    ("a.webm", "libopus", "b.mp4", "aac"),
    ("a.mkv", "flac", "b.mov", "aac"),
    ("a.mkv", "ac3", "b.webm", "opus"),
    ("a.mkv", "libmp3lame", "b.mp4", "mp3"),
]


def carry(source, target):
    """Copy a video's pictures and sound; return what is said."""
    clip = files.open_clip(source)
    sound = Sound(clip.path, clip.start)
    with files.writing(target, clip.rate, sound=sound) as write:
        for frame in clip:
            write(frame.rgb, frame.seconds)
    return clip.problems + sound.problems


def codecs(path):
    with av.open(str(path)) as container:
        return [stream.codec_context.codec.canonical_name for stream in container.streams.audio]


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize("late", [Fraction(0), Fraction(1, 2)])
@pytest.mark.parametrize(("source", "codec", "target", "there"), WAYS)
def test_a_tone_is_heard_when_it_is_seen(tmp_path, source, codec, target, there, late):
    """Pictures begin with the sound, or half a second later: a tone's pitch, begin and end, and its pictures."""
    clips.write_with_tones(tmp_path / source, codec, late=late)
    carry(tmp_path / source, tmp_path / target)
    assert codecs(tmp_path / target) == [there]
    frames = list(files.open_clip(tmp_path / target))
    assert np.allclose([float(frame.seconds) for frame in frames], np.arange(50) / 25, atol=1e-3)
    assert [frame.rgb.mean() > 120 for frame in frames] == 25 * [False] + 25 * [True]
    times, values = clips.hear(tmp_path / target)
    loud = times[np.abs(values) > 0.2]
    assert abs(loud[0] - 1) < 0.002
    assert -0.1 < times[0] < 0.01
    assert 1.99 < times[-1] < 2.1
    sounding = (times > 1.1) & (times < 1.9)
    assert clips.pitch(times[sounding], values[sounding]) == pytest.approx(1000, abs=2)
    assert np.abs(values[sounding]).max() == pytest.approx(0.5, abs=0.05)


def test_what_is_copied_stays_as_it_is(tmp_path):
    clips.write_with_tones(tmp_path / "a.mp4", "aac")
    carry(tmp_path / "a.mp4", tmp_path / "b.mov")
    assert packets(tmp_path / "b.mov") == packets(tmp_path / "a.mp4")


@pytest.mark.parametrize("name", ["b.mov", "b.mp4", "b.webm"])
def test_every_track_is_carried(tmp_path, name):
    clips.write_with_tones(tmp_path / "a.mov", "pcm_s16le", tones=(400, 1000, 3000))
    assert carry(tmp_path / "a.mov", tmp_path / name) == []
    for track, tone in enumerate((400, 1000, 3000)):
        times, values = clips.hear(tmp_path / name, track)
        sounding = (times > 1.1) & (times < 1.9)
        assert clips.pitch(times[sounding], values[sounding]) == pytest.approx(tone, abs=2)


def test_sound_goes_on_behind_the_last_picture(tmp_path):
    clips.write_with_tones(tmp_path / "a.mp4", "aac", after=Fraction(1))
    assert carry(tmp_path / "a.mp4", tmp_path / "b.webm") == []
    times, values = clips.hear(tmp_path / "b.webm")
    assert times[np.abs(values) > 0.2][-1] == pytest.approx(3, abs=0.03)


def test_a_silent_video_stays_silent(tmp_path):
    clips.write(tmp_path / "a.mp4", clips.moving_square())
    assert carry(tmp_path / "a.mp4", tmp_path / "b.mp4") == []
    assert codecs(tmp_path / "b.mp4") == []


def damage(path, codec, target, places):
    """Overwrite packets of a video's sound with zeros; return the times of what is made of it, and what is said."""
    clips.write_with_tones(path, codec)
    with av.open(str(path)) as container:
        found = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    content = bytearray(path.read_bytes())
    for place in places:
        start, size = found[place]
        content[start : start + size] = bytes(size)
    path.write_bytes(content)
    said = carry(path, target)
    return [frame.seconds for frame in files.open_clip(target)], said


@pytest.mark.parametrize("name", ["b.mov", "b.webm"])
def test_damaged_sound_leaves_the_pictures_whole(tmp_path, name):
    """Copied, it stays damaged; encoded, it is silent there and in time again behind it."""
    times, said = damage(tmp_path / "a.mp4", "aac", tmp_path / name, range(60, 70))
    assert np.allclose([float(time) for time in times], np.arange(50) / 25, atol=1e-3)
    if name == "b.webm":
        (sentence,) = said
        assert "The sound of" in sentence
        assert "10 of its packets are left out." in sentence
        heard, values = clips.hear(tmp_path / name)
        quiet = (heard > 61 * 1024 / 48_000) & (heard < 69 * 1024 / 48_000)
        assert np.abs(values[quiet]).max() < 0.05
        sounding = (heard > 1.6) & (heard < 1.9)
        assert clips.pitch(heard[sounding], values[sounding]) == pytest.approx(1000, abs=4)
        assert 1.99 < heard[-1] < 2.1


@pytest.mark.parametrize("name", ["b.mp4", "b.webm"])
def test_a_video_that_is_cut_off(tmp_path, name):
    """The sound breaks off about where the pictures do."""
    path = clips.write_with_tones(tmp_path / "a.mkv", "aac", seconds=Fraction(4))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    said = carry(path, tmp_path / name)
    assert len(said) == 1
    clip = files.open_clip(path)
    times = [frame.seconds for frame in clip]
    assert 0.5 < times[-1] < 3
    assert len(list(files.open_clip(tmp_path / name))) == len(times)


@pytest.mark.parametrize("name", ["b.mp4", "b.webm"])
def test_a_time_that_leaps_does_not_make_hours_of_silence(tmp_path, name):
    """A packet whose time is far off, as made by a muxer that takes what it is told."""
    clips.write_with_tones(tmp_path / "a.mp4", "aac")
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(tmp_path / "c.mkv"), "w") as container:
        streams = {stream.index: container.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                if packet.stream.type == "audio" and packet.pts * packet.time_base > 1.5:
                    packet.pts = packet.dts = packet.pts + round(36_000 / packet.time_base)
                packet.stream = streams[packet.stream.index]
                container.mux(packet)
    carry(tmp_path / "c.mkv", tmp_path / name)
    assert len(list(files.open_clip(tmp_path / name))) == 50
    times, _ = clips.hear(tmp_path / name)
    assert 1.4 < times[-1] < 1.7


def test_sound_that_cannot_be_carried_is_said(tmp_path):
    """The codec's name in the file's head is one that nobody knows."""
    path = clips.write_with_tones(tmp_path / "a.mov", "pcm_s16le")
    path.write_bytes(path.read_bytes().replace(b"sowt", b"zzzz"))
    (sentence,) = carry(path, tmp_path / "b.mp4")
    assert "cannot take" in sentence
    assert "left out" in sentence
    assert codecs(tmp_path / "b.mp4") == []
    assert len(list(files.open_clip(tmp_path / "b.mp4"))) == 50
