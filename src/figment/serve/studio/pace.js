/** As fast as the server answers, and no faster: one question under way, and only the newest of those that wait. */

const WINDOW = 12; // answers that the measured rate is taken over

/** work(question, signal) -> a promise; shown(answer, rate) hears each answer, with answers a second of late. */
export class Pace {
  constructor(work, shown, failed) {
    Object.assign(this, { work, shown, failed, next: null, isBusy: false, times: [] });
  }

  /** Ask. Of the questions that come while another is under way, only the last is put. */
  async ask(question) {
    if (this.isBusy) {
      this.next = { question };
      return;
    }
    this.isBusy = true;
    try {
      const began = performance.now();
      const answer = await this.work(question);
      this.times = [...this.times, performance.now() - began].slice(-WINDOW);
      this.shown(answer, this.rate, question);
    } catch (error) {
      this.next = null;
      this.failed(error);
    } finally {
      this.isBusy = false;
    }
    const waiting = this.next;
    this.next = null;
    if (waiting) this.ask(waiting.question);
  }

  /** Answers a second, from question to picture, over the last few. */
  get rate() {
    return (1000 * this.times.length) / this.times.reduce((sum, time) => sum + time, 0);
  }
}
