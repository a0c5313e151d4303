/** The version of the product. It stands once, in package.json. */
export { version as VERSION } from '../package.json';

/** Address of the repository that a bundle was built in (scripts/lib/nodePrograms.mjs); undefined in the sources. */
declare const BUILT_IN_REPOSITORY: string;

/** Where this program's releases are, or '' where the build did not know. */
export const REPOSITORY = typeof BUILT_IN_REPOSITORY === 'undefined' ? '' : BUILT_IN_REPOSITORY;
