/**
 * A profile on disk: a folder of Parquet tables and `profile.json`, which is written last. While it grows it lies in
 * `unfinished` inside of it, in the same form, so that a run that was stopped goes on from there.
 */
import { access, mkdir, readdir, readFile, realpath, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { oneClause, RefusedError, told, UsageError } from '../errors';
import { outputError, writeWhole } from '../export/outputFile';
import type { CoreInfo, Provenance } from '../../shared/protocol/engine';
import type { CorpusSettings } from '../../shared/protocol/corpus';
import { Corpus } from './corpus';
import { readPlain } from '../plainFile';
import { missingOf, partsFrom, together, type Part } from './parts';
import { readParquet, writeParquet } from './parquet';
import { readTables, rowsOf, TABLES, type TableName, type Tables } from './tables';

/** Name and version of the format: the number grows when a reader of the older one would break. */
const PROFILE_SCHEMA = 'urn:attention-inspector:profile:2';
const UNFINISHED = 'unfinished';
const NEXT = 'unfinished.next';
/** It stands in every whole one, and in no other. */
const ABOUT = 'profile.json';
const ABOUT_LIMIT = 64 * 2 ** 20;

/** What it is made of, what makes it whole last. */
const PROFILE_FILES = [...Object.keys(TABLES).map(name => `${name}.parquet`), ABOUT];

interface ProfileFile {
  schema: typeof PROFILE_SCHEMA;
  settings: CorpusSettings;
  /** Of each machine that took part; the texts' hashes are in their table. */
  provenance: Provenance[];
  cores: readonly CoreInfo[];
  texts: number;
  failed: number;
  /** Lists of texts of which shards are missing. */
  parts: (Part & { missing: number[] })[];
  tables: Record<TableName, string>;
}

/** The files of a finished profile. */
export const profileFiles = (folder: string): string[] => PROFILE_FILES.map(name => join(folder, name));

/** Refuses a folder that holds anything but a profile, or one of the profiles that are read. */
export async function checkProfileFolder(folder: string, read: readonly string[] = []): Promise<void> {
  await mkdir(folder, { recursive: true }).catch(error => {
    throw outputError(folder, error);
  });
  const place = await realpath(folder);
  for (const one of read) {
    if ((await realpath(one).catch(() => one)) === place)
      throw new UsageError(told`Cannot write to ${folder}: it is one of the profiles that are read.`);
  }
  const known = new Set([UNFINISHED, NEXT, ...PROFILE_FILES]);
  const other = (await readdir(folder)).find(name => !known.has(name) && !name.startsWith('shard-'));
  if (other !== undefined) {
    throw new UsageError(told`Cannot write a profile to ${folder}: it holds something else (${other}).`);
  }
}

/** What was gathered of an unfinished or a finished run of the same settings; null where there is none. */
export async function resume(folder: string, settings: CorpusSettings): Promise<Corpus | null> {
  await settle(folder);
  for (const place of [UNFINISHED, '.']) {
    const corpus = await readIfThere(join(folder, place));
    if (!corpus) continue;
    if (JSON.stringify(corpus.settings) === JSON.stringify(settings)) return corpus;
    throw new UsageError(
      told`${folder} holds a profile with other settings: remove it, or choose another folder.`,
    );
  }
  return null;
}

/** Keeps what was gathered so far. At every moment there is a whole one to go on from. */
export async function keep(folder: string, corpus: Corpus): Promise<void> {
  await settle(folder);
  const next = join(folder, NEXT);
  await mkdir(next);
  await write(next, corpus);
  await settle(folder);
}

/** What was written last takes its place if it is whole, and is thrown away if not. */
async function settle(folder: string): Promise<void> {
  const [next, place] = [join(folder, NEXT), join(folder, UNFINISHED)];
  if (!(await isThere(join(next, ABOUT)))) return discard(next);
  await discard(place);
  await rename(next, place);
}

/** Without its `profile.json` it is nothing, from the first step on. */
async function discard(place: string): Promise<void> {
  await rm(join(place, ABOUT), { force: true });
  await rm(place, { recursive: true, force: true });
}

/** Writes the finished profile. Whenever this process is killed, a whole one is left: here, or in `unfinished`. */
export async function finish(folder: string, corpus: Corpus): Promise<void> {
  await keep(folder, corpus);
  // Without it the tables are nothing: they may be half old and half new.
  await rm(join(folder, ABOUT), { force: true });
  for (const name of PROFILE_FILES)
    await writeWhole(join(folder, name), await readFile(join(folder, UNFINISHED, name)));
  await discard(join(folder, UNFINISHED));
}

/** @throws RefusedError for what is no finished profile. */
export async function readProfile(folder: string): Promise<Corpus> {
  const corpus = await readIfThere(folder);
  if (!corpus) throw new RefusedError(told`${folder} holds no finished profile.`);
  return corpus;
}

async function write(folder: string, corpus: Corpus): Promise<void> {
  const file = join(folder, ABOUT);
  const tables = rowsOf(corpus);
  for (const name of Object.keys(TABLES) as TableName[]) {
    await writeParquet(join(folder, `${name}.parquet`), TABLES[name], tables[name] as never);
  }
  const texts = [...corpus.texts.values()];
  const about: ProfileFile = {
    schema: PROFILE_SCHEMA,
    settings: corpus.settings,
    provenance: corpus.sources,
    cores: corpus.cores,
    texts: texts.length,
    failed: texts.filter(({ failed }) => failed !== null).length,
    parts: together(corpus.parts).map(part => ({ ...part, missing: missingOf(part) })),
    tables: Object.fromEntries(Object.keys(TABLES).map(name => [name, `${name}.parquet`])) as never,
  };
  await writeWhole(file, `${JSON.stringify(about, null, 2)}\n`);
}

const isThere = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

async function readIfThere(folder: string): Promise<Corpus | null> {
  const bytes = await readPlain(join(folder, ABOUT), ABOUT_LIMIT);
  if (bytes === null) return null;
  try {
    const about = JSON.parse(bytes.toString('utf8')) as ProfileFile;
    if (about.schema !== PROFILE_SCHEMA) throw new Error(`its form is ${about.schema}`);
    const corpus = new Corpus(about.settings);
    corpus.cores = about.cores;
    corpus.parts = partsFrom(about.parts ?? []);
    about.provenance.forEach(source => corpus.addSource(source));
    const tables: Partial<Record<TableName, unknown>> = {};
    for (const name of Object.keys(TABLES) as TableName[]) {
      tables[name] = await readParquet(join(folder, `${name}.parquet`), TABLES[name]);
    }
    readTables(corpus, tables as Tables);
    return corpus;
  } catch (error) {
    // What JavaScript says of an odd value tells nobody anything.
    const isOdd = error instanceof TypeError || error instanceof RangeError;
    const why = isOdd ? 'it is damaged, or of another form' : oneClause(error);
    throw new RefusedError(told`The profile in ${folder} cannot be read: ${why}.`, { cause: error });
  }
}
