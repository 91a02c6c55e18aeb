// A camera, frame by frame: the next frame is taken once the last is shown.

export class Camera {
  #stream: MediaStream | undefined;

  get isOn(): boolean {
    return this.#stream !== undefined;
  }

  /**
   * Gives frames until it is stopped.
   * @param show is waited for.
   * @throws Error that says why there is no camera; what `show` throws, with the camera off
   */
  async run(show: (frame: ImageBitmap) => Promise<void>): Promise<void> {
    const video = document.createElement('video');
    video.muted = true;
    video.playsInline = true;
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: 'environment', width: { ideal: 1280 } },
        audio: false,
      });
    } catch (error) {
      throw new Error(reason(error as DOMException));
    }
    try {
      video.srcObject = this.#stream;
      await video.play();
      while (this.isOn) {
        await show(await createImageBitmap(video));
        // A hidden page takes no frames.
        await new Promise(requestAnimationFrame);
      }
    } finally {
      this.stop();
    }
  }

  stop(): void {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = undefined;
  }
}

function reason({ name, message }: DOMException): string {
  if (name === 'NotAllowedError')
    return 'the browser was not allowed to use a camera: allow it beside the address';
  if (name === 'NotFoundError') return 'this machine has no camera';
  if (name === 'NotReadableError') return 'another program uses the camera';
  return `the camera cannot be used: ${message}`;
}
