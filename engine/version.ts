/** The version of the product. It stands once, in package.json. */
export { version as VERSION } from '../package.json';
