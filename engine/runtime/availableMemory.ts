import { execFileSync } from 'node:child_process';
import { freemem } from 'node:os';

const GIB = 2 ** 30;

/**
 * Bytes that this process could still take. Linux and Windows tell what is available, and Node what a container leaves;
 * macOS tells only what is free, which on a healthy machine is next to nothing.
 */
export function availableBytes(platform: NodeJS.Platform = process.platform): number {
  if (platform === 'darwin') return availableOnMac() ?? freemem();
  // Node 20.13 and later; 0 where the system does not tell.
  const constrained = process.availableMemory?.() ?? 0;
  return constrained > 0 ? Math.min(freemem(), constrained) : freemem();
}

function availableOnMac(): number | null {
  try {
    return availableFromVmStat(execFileSync('/usr/bin/vm_stat', { encoding: 'utf8', timeout: 2000 }));
  } catch {
    return null;
  }
}

/** Pages that macOS gives away at once when asked: free, inactive, speculative and purgeable. Null when the report is not understood. */
export function availableFromVmStat(report: string): number | null {
  const pageSize = Number(/page size of (\d+) bytes/.exec(report)?.[1]);
  const pages = (name: string) => Number(new RegExp(`^Pages ${name}:\\s+(\\d+)`, 'm').exec(report)?.[1]);
  const free = pages('free');
  if (!pageSize || Number.isNaN(free)) return null;
  const others = ['inactive', 'speculative', 'purgeable'].map(pages).filter(count => !Number.isNaN(count));
  return pageSize * others.reduce((sum, count) => sum + count, free);
}

/**
 * All typed arrays together may take this many bytes. Electron keeps them in a cage of 8 GB (16 GB in later versions); what
 * ONNX Runtime itself allocates lies outside of it. Infinity in plain Node.
 */
export function arrayBytesLimit(versions: NodeJS.ProcessVersions = process.versions): number {
  // A gibibyte stays for what is not counted.
  return versions.electron === undefined ? Infinity : 7 * GIB;
}
