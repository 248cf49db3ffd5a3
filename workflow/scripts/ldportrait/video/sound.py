"""The sound of a video, for the file that is made of its pictures: copied where that file takes it, else encoded anew.

Sound never stops the pictures. What of it cannot be carried is left out, and `problems` says so.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

PCM = {f"pcm_{kind}" for kind in ("s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be")}
COPIED = {".mp4": {"aac", "alac", "mp3"}, ".mov": {"aac", "alac", "mp3"} | PCM, ".webm": {"opus", "vorbis"}}
ENCODERS = {".mp4": "aac", ".mov": "aac", ".webm": "libopus"}
RATE = 48_000  # samples a second where an encoder does not take the source's
BITS = 96_000  # a second and channel
# Seconds before the first picture that are copied: decoders begin with them, and the file says that they are not to be
# heard. WebM can say so of the 312 samples before Opus alone; more would move the pictures.
BEFORE = {".mp4": Fraction(1, 10), ".mov": Fraction(1, 10), ".webm": Fraction(7, 1000)}
TICK = Fraction(1, 705_600_000)  # a flick, in which a sample of every usual rate is a whole number
LEAP = 60  # seconds without sound, and more, are a damaged time: no such silence is made
EVEN = {"async": "1", "first_pts": "0"}  # resampling begins at the first picture and makes gaps silent
SAMPLES = 1024  # of a frame that is resampled; without a number, PyAV leaves out to resample where no format changes


@dataclass
class _Track:
    """A track on its way; without a resampler its packets are copied. `latest` is the time of the last one."""

    source: av.AudioStream
    target: av.AudioStream
    resampler: av.AudioResampler | None
    latest: Fraction | None = None
    lost: int = 0  # packets
    stopped: bool = False


class Sound:
    """The sound tracks of the video at `path`, whose first picture is shown at `start` seconds.

    `begin` adds them to a container that is written, `until` writes what is heard before a time, `finish` the rest.
    """

    def __init__(self, path: Path, start: Fraction) -> None:
        """Open nothing yet."""
        self.path, self.start, self.problems = path, start, []

    def begin(self, container: av.container.OutputContainer, suffix: str) -> None:
        """Add the tracks, before anything is written to the container, a file of that suffix."""
        self._container, self._before = container, BEFORE[suffix]
        self._source = av.open(str(self.path))
        self._tracks = {}
        for stream in self._source.streams.audio:
            track = _track(stream, container, suffix)
            if track is None:
                name = stream.codec_context.name if stream.codec_context else "unknown"
                self.problems.append(f"{self.path} has sound ({name}) that a {suffix} cannot take; it is left out.")
            else:
                self._tracks[stream.index] = track
        self._packets = self._read() if self._tracks else iter(())
        self._next = next(self._packets, None)

    def until(self, seconds: Fraction | None) -> None:
        """Write what begins before a time in seconds from the first picture, or all that is left."""
        while self._next is not None and (seconds is None or self._next[0] < seconds):
            _, track, packet = self._next
            self._carry(track, packet)
            self._next = next(self._packets, None)

    def finish(self) -> None:
        """Write what is left, and say what was lost."""
        self.until(None)
        for track in self._tracks.values():
            if track.resampler is not None and not track.stopped:
                self._carry(track, None)
            if track.lost:
                self.problems.append(f"The sound of {self.path} is damaged: {track.lost} of its packets are left out.")
        self._source.close()

    def _read(self) -> Iterator[tuple[Fraction, _Track, av.Packet]]:
        """Yield the packets in the file's order, with times from the first picture; times that go back are left out."""
        packets = self._source.demux([track.source for track in self._tracks.values()])
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:  # who reads the pictures meets the same, and says so
                return
            if packet is None:
                return
            track = self._tracks[packet.stream.index]
            if packet.pts is None or track.stopped:
                continue
            time = packet.pts * packet.time_base - self.start
            if time < -self._before or (track.latest is not None and time <= track.latest):
                continue
            if time - (track.latest or 0) > LEAP:
                track.lost += 1
                continue
            track.latest = time
            yield time, track, packet

    def _carry(self, track: _Track, packet: av.Packet | None) -> None:
        """Write a packet; None empties decoder and encoder. An error of the disk is raised, another ends the track."""
        if track.stopped:
            return
        try:
            if track.resampler is None:
                self._container.mux(self._moved(packet, track))
            else:
                self._container.mux(self._encoded(packet, track))
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            track.stopped = True
            self.problems.append(
                f"The sound of {self.path} is left out from {float(track.latest):.1f} s on: {error.strerror}."
            )

    def _moved(self, packet: av.Packet, track: _Track) -> av.Packet:
        """A packet for the other file, its time from the first picture."""
        packet.duration = round(packet.duration * packet.time_base / TICK) if packet.duration else 0
        packet.pts = packet.dts = self._ticks(packet)
        packet.time_base, packet.stream = TICK, track.target
        return packet

    def _ticks(self, heard: av.Packet | av.AudioFrame) -> int:
        """The time from the first picture."""
        return round((heard.pts * heard.time_base - self.start) / TICK)

    def _encoded(self, packet: av.Packet | None, track: _Track) -> Iterator[av.Packet]:
        """What the encoder makes of a packet, or of what is left."""
        try:
            frames = track.source.codec_context.decode(packet)
        except av.FFmpegError:
            track.lost += packet is not None
            frames = []
        for frame in [*frames, None] if packet is None else frames:
            if frame is not None and frame.pts is not None:
                frame.pts, frame.time_base = self._ticks(frame), TICK
            try:
                resampled = track.resampler.resample(frame)
            except ValueError:  # damaged, too: it is of another form than those before it
                track.lost += 1
                continue
            for even in resampled:
                yield from track.target.encode(even)
        if packet is None:
            yield from track.target.encode(None)


def _track(stream: av.AudioStream, container: av.container.OutputContainer, suffix: str) -> _Track | None:
    """Add a track for a stream to a container, if that can be; each way is tried on a file in memory first."""
    context = stream.codec_context
    if context is None or not context.sample_rate or not context.layout.nb_channels:
        return None
    ways = []
    if context.codec.canonical_name in COPIED[suffix]:
        ways.append((lambda to: to.add_stream_from_template(stream), None))
    encoder = av.Codec(ENCODERS[suffix], "w")
    rate = context.sample_rate if context.sample_rate in encoder.audio_rates else RATE
    for layout in (context.layout.name, "mono" if context.layout.nb_channels == 1 else "stereo"):
        options = {"rate": rate, "layout": layout, "bit_rate": BITS * av.AudioLayout(layout).nb_channels}
        resampler = av.AudioResampler(None, layout, rate, SAMPLES, EVEN)
        ways.append((lambda to, options=options: to.add_stream(encoder.name, **options), resampler))
    for add, resampler in ways:
        try:
            with av.open(io.BytesIO(), "w", format=suffix[1:]) as trial:
                add(trial)
                trial.start_encoding()
        except (av.FFmpegError, ValueError):
            continue
        return _Track(stream, add(container), resampler)
    return None
