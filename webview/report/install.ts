/** In a report there is no extension: what the page holds answers in its place. Imported before anything asks for the API. */
import { ReportHost } from './host';

const element = document.getElementById('report-data');
if (element) {
  const host = new ReportHost(element.textContent ?? '');
  element.remove();
  globalThis.acquireVsCodeApi = () => host;
}
