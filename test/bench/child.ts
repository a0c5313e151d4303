/** One job of the bench in a process of its own (children.ts); its result goes to the parent. */
import { writeFileSync } from 'node:fs';
import { timeAnalysis, timeLoad, timePlain } from './analysis';
import { timeChecks } from './checks';
import type { Job } from './children';
import { timeJob } from './jobs';
import { timeLong } from './long';
import { benchModel, GPT2_SMALL } from './models';

async function resultOf(job: Job): Promise<unknown> {
  switch (job.run) {
    case 'write':
      return writeFileSync(job.onnx, benchModel(GPT2_SMALL));
    case 'writeWhole':
      return writeFileSync(job.onnx, benchModel({ ...GPT2_SMALL, vocabulary: 50_257, context: 1024 }));
    case 'load':
      return timeLoad(job.onnx);
    case 'plain':
    case 'analysis': {
      const time = job.run === 'plain' ? timePlain : timeAnalysis;
      return time(job.onnx, job.tokens, job.tokens > 2048 ? 1 : 2);
    }
    case 'checks':
      return timeChecks(job.lengths);
    case 'long':
      return timeLong(job.long);
    case 'job':
      return timeJob(job.job, job.tokens);
  }
}

resultOf(JSON.parse(process.argv[2]!) as Job)
  .then(result => process.send!(result ?? {}, () => process.exit(0)))
  .catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
