import { softwareVulkan } from '../../scripts/lib/chromium.mjs';

/**
 * The environment for a child process (command line or engine) whose WebGPU shall run on SwiftShader, the software
 * Vulkan of the Chromium that the tests use; null where there is none. It must be set before the process starts,
 * because the dynamic linker reads LD_LIBRARY_PATH only then.
 */
export async function softwareVulkanEnvironment(): Promise<Record<string, string> | null> {
  return softwareVulkan();
}
