// The map as a video, recorded by the browser.

const KINDS = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];

export class Recorder {
  constructor(canvas, button) {
    this.canvas = canvas;
    this.button = button;
    this.recorder = null;
  }

  get running() {
    return this.recorder !== null;
  }

  toggle(name, notice) {
    if (this.recorder) {
      this.recorder.stop();
      return;
    }
    const kind = KINDS.find((one) => window.MediaRecorder?.isTypeSupported(one));
    if (!kind) {
      notice("This browser cannot record a video of the map.");
      return;
    }
    const parts = [];
    this.recorder = new MediaRecorder(this.canvas.captureStream(30), { mimeType: kind, videoBitsPerSecond: 8e6 });
    this.recorder.ondataavailable = ({ data }) => parts.push(data);
    this.recorder.onstop = () => {
      this.recorder = null;
      this.show();
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(parts, { type: kind }));
      link.download = `metalore-${name}.${kind.includes("mp4") ? "mp4" : "webm"}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    };
    this.recorder.start(1000);
    this.show();
  }

  show() {
    this.button.textContent = this.running ? "End recording" : "Record";
    this.button.setAttribute("aria-pressed", String(this.running));
  }
}
