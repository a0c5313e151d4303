import { oneSentence } from '../../shared/foreign';
import { oneClause, told } from '../errors';

interface Machine {
  platform: string;
  arch: string;
}

/** The platforms that the packages hold native files for. */
const SERVED = ['linux x64', 'linux arm64', 'darwin arm64', 'win32 x64', 'win32 arm64'];

/** Why a program could not be loaded, and what to do, in one sentence; null when it is not for want of a native library. */
export function loadFailure(error: unknown, machine: Machine = process): string | null {
  const { message = '', code } = error as NodeJS.ErrnoException;
  const isNative =
    code === 'ERR_DLOPEN_FAILED' ||
    /onnxruntime|tokenizers|native binding|\.node\b/i.test(message.split('\n')[0] ?? '');
  if (!isNative) return null;
  return oneSentence(`The native libraries cannot be loaded: ${reason(message, machine)}`);
}

function reason(message: string, { platform, arch }: Machine): string {
  if (!SERVED.includes(`${platform} ${arch}`))
    return told`there are none for ${platform} ${arch}; use Linux, Windows or a Mac with Apple silicon.`;
  const [, glibc] = /version [`'"]?(GLIBC(?:XX)?_[\d.]+)/.exec(message) ?? [];
  if (glibc)
    return told`this system's C library is too old (${glibc} is missing); use a newer Linux (glibc 2.28, on arm64 2.30).`;
  if (/ld-musl|libc\.musl|ld-linux|symbol not found/i.test(message) && platform === 'linux')
    return 'this system has no glibc (Alpine); use a Linux with glibc 2.28 or newer.';
  if (platform === 'win32' && /specified module could not be found|module could not be found/i.test(message))
    return 'the Microsoft Visual C++ runtime is missing; install the Visual C++ Redistributable (2015-2022) from Microsoft.';
  if (
    /wrong ELF class|not a valid Win32|incompatible architecture|invalid ELF|Exec format|mach-o/i.test(
      message,
    )
  )
    return told`they are of another platform than ${platform} ${arch}; install the package of this platform.`;
  if (/Symbol not found|built for (?:newer )?macOS/i.test(message) && platform === 'darwin')
    return 'this macOS is too old; macOS 14 or newer is needed.';
  if (/Cannot find (?:module|native binding)/i.test(message))
    return told`they are missing; install again, the package of ${platform} ${arch}.`;
  return told`${oneClause(message)}.`;
}
